// Package gocache takes a part of the Go build cache to other machines as an OCI
// image. Its layers, the packs, hold the outputs of the go command's actions, and its
// configuration lists the actions. Every output from a pack is checked against the
// hash that the go command knows it by.
//
// Its files, each knowing those before it: folder (GOCACHE), index (what an image
// has), pack (writing one), unpack (restoring one), update (which packs to write),
// image.
package gocache

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ID names an action of the go command, or is the sha256 of an output.
type ID [32]byte

// Entry is the output of an action, as in cmd/go/internal/cache.
type Entry struct {
	Action, Output ID
	Size           int64 // of the output, in bytes
}

// Folder is the path of a GOCACHE.
type Folder string

// go sets the time of a file that it uses if that is more than an hour ago. So rested
// files are older than that, and younger than the five days after which go deletes
// them.
const (
	markEvery = time.Hour
	restedFor = 2 * time.Hour
)

const (
	actionFile = "-a"
	outputFile = "-d"
)

func fileName(id ID, suffix string) string {
	name := hex.EncodeToString(id[:])
	return name[:2] + "/" + name + suffix
}

func (f Folder) path(id ID, suffix string) string {
	return filepath.Join(string(f), filepath.FromSlash(fileName(id, suffix)))
}

// list calls f with each file that has the suffix. What can't be read counts as
// missing.
func (f Folder) list(suffix string, found func(id ID, e os.DirEntry)) {
	for i := range 256 {
		entries, _ := os.ReadDir(filepath.Join(string(f), fmt.Sprintf("%02x", i)))
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), suffix)
			if !ok || len(name) != 2*len(ID{}) {
				continue
			}
			var id ID
			if _, err := hex.Decode(id[:], []byte(name)); err == nil {
				found(id, e)
			}
		}
	}
}

// Rest makes all actions look unused at the time now, and returns the time to call
// Used with.
func (f Folder) Rest(now time.Time) time.Time {
	since := now.Add(-markEvery)
	rested := now.Add(-restedFor)
	f.list(actionFile, func(id ID, e os.DirEntry) {
		// Ten minutes more, because time goes by until go looks.
		if info, err := e.Info(); err == nil && info.ModTime().After(since.Add(-10*time.Minute)) {
			os.Chtimes(f.path(id, actionFile), rested, rested)
		}
	})
	return since
}

// Used returns the entries that go used or made since Rest returned the time since,
// in no particular order.
func (f Folder) Used(since time.Time) []Entry {
	var used []Entry
	f.list(actionFile, func(id ID, e os.DirEntry) {
		info, err := e.Info()
		if err != nil || info.ModTime().Before(since) {
			return
		}
		// Executables of go run and go tool, which are folders, aren't found.
		if entry, _, ok := f.Find(id); ok {
			used = append(used, entry)
		}
	})
	return used
}

// isPortable reports whether an entry's output may be useful on another machine.
// Module indexes (cmd/go/internal/modindex) aren't: go finds them by paths and times.
func (f Folder) isPortable(e Entry) bool {
	const moduleIndex = "go index v"
	return f.beginning(e, len(moduleIndex)) != moduleIndex
}

// beginning returns up to most bytes from the start of an entry's output.
func (f Folder) beginning(e Entry, most int) string {
	file, err := os.Open(f.path(e.Output, outputFile))
	if err != nil {
		return ""
	}
	defer file.Close()
	data := make([]byte, most)
	n, _ := io.ReadFull(file, data)
	return string(data[:n])
}

// actions are the actions that have an entry.
func (f Folder) actions() map[ID]bool {
	found := map[ID]bool{}
	f.list(actionFile, func(id ID, _ os.DirEntry) { found[id] = true })
	return found
}

// entryFormat is the format of an action's file: its own ID, the output's, the
// output's size, and a time in nanoseconds.
const entryFormat = "v1 %x %x %20d %20d\n"

const entrySize = len("v1 ") + 2*(64+1) + 2*20 + len(" \n")

// entry reads an action's file.
func (f Folder) entry(action ID) (Entry, error) {
	file, err := os.Open(f.path(action, actionFile))
	if err != nil {
		return Entry{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(entrySize)+1))
	if err != nil {
		return Entry{}, err
	}
	return parseEntry(action, data)
}

func parseEntry(action ID, data []byte) (Entry, error) {
	e := Entry{Action: action}
	fields := bytes.Fields(data)
	if len(data) != entrySize || len(fields) != 5 || string(fields[0]) != "v1" || string(fields[1]) != hex.EncodeToString(action[:]) || len(fields[2]) != 64 {
		return e, errors.New("not an entry of the Go build cache")
	}
	if _, err := hex.Decode(e.Output[:], fields[2]); err != nil {
		return e, err
	}
	var err error
	e.Size, err = strconv.ParseInt(string(fields[3]), 10, 64)
	if err == nil && e.Size < 0 {
		err = errors.New("negative size")
	}
	return e, err
}

// Find returns the action's entry, and the path of its output, if it is there.
func (f Folder) Find(action ID) (e Entry, path string, ok bool) {
	e, err := f.entry(action)
	path = f.path(e.Output, outputFile)
	if err != nil {
		return e, path, false
	}
	info, err := os.Lstat(path)
	return e, path, err == nil && info.Mode().IsRegular() && info.Size() == e.Size
}

// put writes an action's file as go does: in place, with one write. go ignores an
// incomplete one.
func (f Folder) put(e Entry, rested time.Time) error {
	path := f.path(e.Action, actionFile)
	if err := os.WriteFile(path, fmt.Appendf(nil, entryFormat, e.Action[:], e.Output[:], e.Size, 0), 0o666); err != nil {
		return err
	}
	return os.Chtimes(path, rested, rested)
}

// makeFolders makes the folders of GOCACHE.
func (f Folder) makeFolders() error {
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(string(f), fmt.Sprintf("%02x", i)), 0o777); err != nil {
			return err
		}
	}
	return nil
}
