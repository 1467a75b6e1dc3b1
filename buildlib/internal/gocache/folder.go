// Package gocache takes a part of the Go build cache to other machines: as an OCI
// image whose layers, the packs, hold the outputs of the go command's actions, and
// whose configuration lists those actions. Every output from a pack is checked
// against the hash that the go command uses for it.
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

// Entry says what an action put out. The sources are cmd/go/internal/cache of
// the Go distribution.
type Entry struct {
	Action, Output ID
	Size           int64 // of the output, in bytes
}

// Folder is the path of a GOCACHE.
type Folder string

// What go does not look at for an hour it marks as used by the file's time, so
// rested files are older than that, and younger than the five days after which
// go deletes them.
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

// list calls see with the path of each file that has the suffix. What can't be
// read isn't there.
func (f Folder) list(suffix string, see func(id ID, e os.DirEntry)) {
	for i := range 256 {
		entries, _ := os.ReadDir(filepath.Join(string(f), fmt.Sprintf("%02x", i)))
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), suffix)
			if !ok || len(name) != 2*len(ID{}) {
				continue
			}
			var id ID
			if _, err := hex.Decode(id[:], []byte(name)); err == nil {
				see(id, e)
			}
		}
	}
}

// Rest makes all actions look unused at now, and returns the time for Used.
func (f Folder) Rest(now time.Time) time.Time {
	since := now.Add(-markEvery)
	rested := now.Add(-restedFor)
	f.list(actionFile, func(id ID, e os.DirEntry) {
		// Some minutes more, because the clock goes on before go looks.
		if info, err := e.Info(); err == nil && info.ModTime().After(since.Add(-10*time.Minute)) {
			os.Chtimes(f.path(id, actionFile), rested, rested)
		}
	})
	return since
}

// Used returns the entries that go used or made since Rest, which gave the time,
// in no particular order.
func (f Folder) Used(since time.Time) []Entry {
	var used []Entry
	f.list(actionFile, func(id ID, e os.DirEntry) {
		info, err := e.Info()
		if err != nil || info.ModTime().Before(since) {
			return
		}
		// Executables of go run and go tool are folders: they are of this machine.
		if entry, _, ok := f.Find(id); ok {
			used = append(used, entry)
		}
	})
	return used
}

// isPortable reports whether an entry's output may be of use on another machine.
// Indexes of modules (cmd/go/internal/modindex) are found by paths and times.
func (f Folder) isPortable(e Entry) bool {
	const moduleIndex = "go index v"
	return f.begin(e, len(moduleIndex)) != moduleIndex
}

// begin is what an entry's output begins with, up to most bytes.
func (f Folder) begin(e Entry, most int) string {
	file, err := os.Open(f.path(e.Output, outputFile))
	if err != nil {
		return ""
	}
	defer file.Close()
	begin := make([]byte, most)
	n, _ := io.ReadFull(file, begin)
	return string(begin[:n])
}

// actions are those that have an entry.
func (f Folder) actions() map[ID]bool {
	found := map[ID]bool{}
	f.list(actionFile, func(id ID, _ os.DirEntry) { found[id] = true })
	return found
}

// entryFormat is that of an action's file: its own ID, the output's, the size,
// and the time in nanoseconds.
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

// put writes an action's file, as go does: in place, in one write. go takes one
// that isn't whole for none.
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
