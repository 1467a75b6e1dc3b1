package gocache

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// errTooLarge is the error of a pack whose layer would exceed MaxPack.
var errTooLarge = errors.New("the pack is too large")

// writePack writes the outputs of the entries, in their order, to a file in temp. The
// same entries give the same file. A missing or damaged output is left out, with its
// entries.
func writePack(ctx context.Context, f Folder, entries []Aged, temp string) (p Pack, err error) {
	file, err := os.CreateTemp(temp, "pack-*")
	if err != nil {
		return p, err
	}
	p.path = file.Name()
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(p.path)
		}
	}()
	layer := &sum{Hash: sha256.New(), to: bufio.NewWriterSize(file, 1<<20)}
	// Packs are read more often than written. The outputs of two similar packages are
	// about 8 MB together, so the window is the largest. The outputs' hashes make another
	// checksum needless.
	z, err := zstd.NewWriter(layer, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(maxWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		return p, err
	}
	content := &sum{Hash: sha256.New(), to: z}
	t := tar.NewWriter(content)
	var last ID
	for _, e := range entries {
		if ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
		if len(p.Entries) == 0 || e.Output != last {
			data, err := os.ReadFile(f.path(e.Output, outputFile))
			if err != nil || int64(len(data)) != e.Size || sha256.Sum256(data) != e.Output {
				continue
			}
			// Neither owner nor time: a pack is the same wherever it is made.
			if err := t.WriteHeader(&tar.Header{Format: tar.FormatUSTAR, Name: fileName(e.Output, outputFile), Mode: 0o644, Size: e.Size}); err != nil {
				return p, err
			}
			if _, err := t.Write(data); err != nil {
				return p, err
			}
			if layer.size > MaxPack {
				return p, errTooLarge
			}
			last = e.Output
		}
		p.Entries = append(p.Entries, e)
	}
	if err := errors.Join(t.Close(), z.Close(), layer.to.(*bufio.Writer).Flush()); err != nil {
		return p, err
	}
	if p.Size = layer.size; p.Size > MaxPack {
		return p, errTooLarge
	}
	p.Digest, p.DiffID = layer.digest(), content.digest()
	return p, nil
}

// sum hashes and counts what goes through it.
type sum struct {
	hash.Hash
	to   io.Writer
	size int64
}

func (s *sum) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	s.Hash.Write(b[:n])
	s.size += int64(n)
	return n, err
}

func (s *sum) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(s.Sum(nil))}
}

// packRaw is about the total size of the outputs in a pack, in bytes: they compress
// to a fourth of it.
const packRaw = 96 << 20

// writePacks writes the entries into as many packs as it takes, several at once.
func writePacks(ctx context.Context, f Folder, entries []Aged, temp string) ([]Pack, error) {
	return eachPart(ctx, split(f.sorted(entries)), func(ctx context.Context, part []Aged) ([]Pack, error) {
		return writeHalves(ctx, f, part, temp)
	})
}

// writeHalves writes one pack, or several if it would be too large. A single output
// that is too large is left out.
func writeHalves(ctx context.Context, f Folder, part []Aged, temp string) ([]Pack, error) {
	p, err := writePack(ctx, f, part, temp)
	if err == nil && len(p.Entries) == 0 {
		return nil, os.Remove(p.path)
	}
	if !errors.Is(err, errTooLarge) {
		if err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
		return []Pack{p}, nil
	}
	middle := len(part) / 2
	for middle > 0 && part[middle].Output == part[middle-1].Output {
		middle--
	}
	if middle == 0 {
		return nil, nil
	}
	return eachPart(ctx, [][]Aged{part[:middle], part[middle:]}, func(ctx context.Context, part []Aged) ([]Pack, error) {
		return writeHalves(ctx, f, part, temp)
	})
}

// sorted are the entries in the order in which they compress best: by the beginning of
// their outputs. A compiled package begins with the size of its export data, and many
// packages with as much export nearly the same.
func (f Folder) sorted(entries []Aged) []Aged {
	beginnings := map[ID]string{}
	for _, e := range entries {
		if _, ok := beginnings[e.Output]; !ok {
			beginnings[e.Output] = f.beginning(e.Entry, len("!<arch>\n")+60) // to the end of ar's first header
		}
	}
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Aged) int {
		return cmp.Or(strings.Compare(beginnings[a.Output], beginnings[b.Output]),
			bytes.Compare(a.Output[:], b.Output[:]), bytes.Compare(a.Action[:], b.Action[:]))
	})
	return sorted
}

// split cuts sorted entries into parts, and never between those of one output.
func split(sorted []Aged) [][]Aged {
	var parts [][]Aged
	var size int64
	begin := 0
	for i, e := range sorted {
		if i > 0 && e.Output == sorted[i-1].Output {
			continue
		}
		if size > 0 && size+e.Size > packRaw {
			parts, begin, size = append(parts, sorted[begin:i]), i, 0
		}
		size += e.Size
	}
	if begin < len(sorted) {
		parts = append(parts, sorted[begin:])
	}
	return parts
}

// eachPart calls do for each part, several at once, and joins the results in order.
func eachPart(ctx context.Context, parts [][]Aged, do func(context.Context, []Aged) ([]Pack, error)) ([]Pack, error) {
	made := make([][]Pack, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, part := range parts {
		g.Go(func() (err error) {
			made[i], err = do(ctx, part)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(made...), err
}
