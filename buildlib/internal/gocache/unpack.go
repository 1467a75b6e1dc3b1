package gocache

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory of a pack's decoder, in bytes.
const maxWindow = 8 << 20

// Unpack puts the pack's entries into the folder, rested, and returns how many those
// are. An error says why the rest is left out.
func (f Folder) Unpack(ctx context.Context, p Pack, layer io.Reader) (n int, err error) {
	if err := f.makeFolders(); err != nil {
		return 0, err
	}
	rested := time.Now().Add(-restedFor)
	buffer := make([]byte, 2*chunk)
	err = p.Unpack(ctx, layer, func(entries []Aged, output io.Reader) error {
		if err := f.putOutput(entries[0].Entry, output, rested, buffer); err != nil {
			return err
		}
		for _, e := range entries {
			if err := f.put(e.Entry, rested); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// Unpack calls put with each output in the layer and its entries that aren't dead,
// until one call fails. The layer is believed nothing but bytes: names come from the
// pack's entries, and put must check that the output is what its ID says.
func (p Pack) Unpack(ctx context.Context, layer io.Reader, put func(entries []Aged, output io.Reader) error) error {
	wanted := map[string][]Aged{} // by file name
	for _, e := range p.Entries {
		name := fileName(e.Output, outputFile)
		wanted[name] = append(wanted[name], e)
	}
	z, err := zstd.NewReader(layer, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.IgnoreChecksum(true))
	if err != nil {
		return err
	}
	defer z.Close()
	// Each output has a header and padding, and the archive has an end.
	limit := p.raw() + int64(len(wanted)+2)*1024
	t := tar.NewReader(io.LimitReader(z, limit))
	for len(wanted) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("it lacks %d outputs: %w", len(wanted), noEOF(err))
		}
		entries, ok := wanted[h.Name]
		if !ok || h.Typeflag != tar.TypeReg || h.Size != entries[0].Size {
			return fmt.Errorf("%.100q is not what its index says", h.Name)
		}
		delete(wanted, h.Name)
		if entries = slices.DeleteFunc(entries, Aged.dead); len(entries) == 0 {
			continue
		}
		if err := put(entries, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, noEOF(err))
		}
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// chunk is the size of a read, in bytes.
const chunk = 256 << 10

// putOutput writes an output in place, as go does, which ignores a file of another
// size. The last bytes are held back until all are checked. So a file of the right
// size has the right content, however a run ends.
func (f Folder) putOutput(e Entry, content io.Reader, rested time.Time, buffer []byte) (err error) {
	path := f.path(e.Output, outputFile)
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().IsRegular() && info.Size() == e.Size {
			return nil // go made it, or an earlier run
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil // another run is at it
	}
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(path)
			return
		}
		err = os.Chtimes(path, rested, rested)
	}()
	sum := sha256.New()
	held, next := buffer[:0:chunk], buffer[chunk:chunk:2*chunk]
	for left := e.Size; left > 0; {
		next = next[:min(left, chunk)]
		if _, err := io.ReadFull(content, next); err != nil {
			return err
		}
		sum.Write(next)
		left -= int64(len(next))
		if _, err := file.Write(held); err != nil {
			return err
		}
		held, next = next, held
	}
	if !bytes.Equal(sum.Sum(nil), e.Output[:]) {
		return errors.New("its content is not what its hash says")
	}
	_, err = file.Write(held)
	return err
}

// Put adds an entry with its output, as if go had just made it.
func (f Folder) Put(e Entry, content io.Reader) error {
	if e.Size > maxOutput {
		return errors.New("it is too large for a pack")
	}
	now := time.Now()
	if err := f.putOutput(e, content, now, make([]byte, 2*chunk)); err != nil {
		return err
	}
	return f.put(e, now)
}

// Add is Put for an output that write writes.
func (f Folder) Add(action ID, write func(io.Writer) error) (e Entry, err error) {
	if err := f.makeFolders(); err != nil {
		return e, err
	}
	file, err := os.CreateTemp(string(f), "add-*")
	if err != nil {
		return e, err
	}
	defer os.Remove(file.Name())
	to := &sum{Hash: sha256.New(), to: file}
	if err := errors.Join(write(to), file.Close()); err != nil {
		return e, err
	}
	if to.size > maxOutput {
		return e, errors.New("it is too large for a pack")
	}
	e = Entry{Action: action, Size: to.size}
	to.Sum(e.Output[:0])
	if err := os.Rename(file.Name(), f.path(e.Output, outputFile)); err != nil {
		return e, err
	}
	return e, f.put(e, time.Now())
}
