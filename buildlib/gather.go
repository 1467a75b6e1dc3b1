package buildlib

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxRecords bounds the records below one folder.
const maxRecords = 10_000

// found is a record and its file.
type found struct {
	Record
	path string
}

// gather reads all records below dir, however deep: CI systems unpack each
// artifact into a folder of its own. Other JSON files are ignored, and links, except
// for dir itself, aren't followed. Records that can't be used are in damaged, in the
// order of their files.
func gather(ctx context.Context, dir string) (list []found, damaged []error, err error) {
	const gathered = "name the folder that the records (dist/digests) of all runners were gathered in"
	if dir == "" {
		return nil, nil, errors.New("no folder is named: " + gathered)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%s: no such folder: %s", dir, gathered)
	case err != nil:
		return nil, nil, err
	case !info.IsDir():
		return nil, nil, fmt.Errorf("%s is not a folder: %s", dir, gathered)
	}
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		at := filepath.Join(dir, filepath.FromSlash(path))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", at, err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !d.Type().IsRegular() || filepath.Ext(path) != ".json":
			return nil
		case len(list)+len(damaged) == maxRecords:
			return fmt.Errorf("%s: more than %d records", dir, maxRecords)
		}
		data, err := readLimited(at, recordLimit)
		if err != nil {
			return err
		}
		if !isRecord(path, data) {
			return nil
		}
		r, err := decodeRecord(data)
		if err != nil {
			damaged = append(damaged, fmt.Errorf("%s: the record is damaged: %w", at, err))
			return nil
		}
		list = append(list, found{r, at})
		return nil
	})
	if err == nil && len(list)+len(damaged) == 0 {
		err = fmt.Errorf("%s: no record of Builder.Push is below it: %s", dir, gathered)
	}
	return list, damaged, err
}
