package emulate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// record lists a toolchain's files, by path from its GOROOT.
type record struct {
	Origin string
	Files  map[string]disk.Known
	Links  map[string]string // to where they lead
}

const recordName = "record.json"

// writeRecord writes the record of the goroot in the folder made.
func (m *maker) writeRecord(ctx context.Context, made, origin string) error {
	r := record{Origin: origin, Files: map[string]disk.Known{}, Links: map[string]string{}}
	root := filepath.Join(made, "goroot")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			r.Links[name], err = os.Readlink(path)
			return err
		}
		id, err := disk.Identify(path)
		if err != nil {
			return err
		}
		digest, err := disk.SHA256(ctx, path)
		r.Files[name] = disk.Known{Identity: id, Digest: digest}
		return err
	})
	if err != nil {
		return err
	}
	return disk.WriteRecord(filepath.Join(made, recordName), m.scratch.Dir, r)
}

// readRecord returns the record of a toolchain's folder, if all files are as it says.
// The error is fs.ErrNotExist if there is no folder, and another one if the toolchain
// is damaged.
func readRecord(ctx context.Context, folder string) (record, error) {
	var r record
	if _, err := os.Stat(folder); err != nil {
		return r, err
	}
	err := disk.ReadRecord(filepath.Join(folder, recordName), &r)
	if err == nil && len(r.Files) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return r, fmt.Errorf("%s: %v", recordName, err)
	}
	root := filepath.Join(folder, "goroot")
	for name, was := range r.Files {
		path := filepath.Join(root, name)
		_, err := was.Verify(ctx, path)
		if info, statErr := os.Stat(path); err == nil && (statErr != nil || info.Mode().Perm()&0o100 == 0) {
			err = errors.New("not executable")
		}
		if err != nil {
			return r, fmt.Errorf("%s: %v", name, err)
		}
	}
	for name, was := range r.Links {
		path := filepath.Join(root, name)
		if now, err := os.Readlink(path); err != nil || now != was {
			return r, fmt.Errorf("%s is not a link to %s", name, was)
		}
		if _, err := os.Stat(path); err != nil {
			return r, fmt.Errorf("%s: %v", name, err)
		}
	}
	return r, nil
}
