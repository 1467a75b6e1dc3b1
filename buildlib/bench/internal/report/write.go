package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Write puts bench.json, bench.txt, report.md and chart.svg into dir, all of them or
// none. They are written to scratch first, the caller's own folder on the same file
// system, and moved when all are complete. If a move fails, the earlier ones are undone,
// so that dir never mixes two runs. Other files in dir stay. change is a comparison for
// report.md; nil: none.
func (r Report) Write(dir, scratch string, change *Comparison) error {
	if err := r.write(dir, scratch, change); err != nil {
		return fmt.Errorf("bench results in %s: %w", dir, err)
	}
	return nil
}

func (r Report) write(dir, scratch string, change *Comparison) (err error) {
	stage, err := os.MkdirTemp(scratch, "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()

	data, err := r.JSON()
	if err != nil {
		return err
	}
	files := []struct {
		name string
		data []byte
	}{
		{"bench.txt", r.Text()},
		{"report.md", r.Markdown(change)},
		{"chart.svg", r.Chart()},
		{"bench.json", data}, // last, as programs look for it
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fresh, before := filepath.Join(stage, "new"), filepath.Join(stage, "old")
	for _, f := range files {
		if err := disk.WriteBytes(filepath.Join(fresh, f.name), stage, 0o644, f.data); err != nil {
			return err
		}
		switch err := disk.Link(context.Background(), filepath.Join(dir, f.name), filepath.Join(before, f.name), stage, v1.Hash{}); {
		case errors.Is(err, fs.ErrNotExist): // the first run
		case err != nil:
			return err
		}
	}
	for i, f := range files {
		err := os.Rename(filepath.Join(fresh, f.name), filepath.Join(dir, f.name))
		if err == nil {
			continue
		}
		for _, done := range files[:i] {
			undo := os.Rename(filepath.Join(before, done.name), filepath.Join(dir, done.name))
			if errors.Is(undo, fs.ErrNotExist) {
				undo = os.Remove(filepath.Join(dir, done.name))
			}
			err = errors.Join(err, undo)
		}
		return err
	}
	return nil
}
