package filetree

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// scanLimits bound what a base may cost: it is not trusted.
type scanLimits struct {
	entries int    // tar headers and implied directories, all layers together
	names   int64  // bytes of paths and link targets, all layers together
	steps   int64  // path elements walked, links followed included
	path    int    // bytes of one path or link target (PATH_MAX of Linux)
	content int64  // bytes of all layers together, uncompressed
	small   int64  // bytes up to which a layer may compress to any size
	ratio   int64  // of a larger layer's bytes to its compressed bytes
	account int64  // bytes of one account file
	window  uint64 // bytes of zstd's window
}

// MaxContent is how many bytes the uncompressed layers of an image may have together.
const MaxContent = 64 << 30

var defaultLimits = scanLimits{
	entries: 1_000_000,
	names:   256 << 20,
	steps:   200_000_000,
	path:    4096,
	content: MaxContent,
	small:   1 << 30,
	ratio:   250, // programs and text reach 10, zeros 1000
	account: 1 << 20,
	window:  128 << 20, // what zstd --ultra and --long need
}

// checkAccount is an error if the account file at p is too long to be one.
func (l scanLimits) checkAccount(p string, size int64) error {
	if size > l.account {
		return fmt.Errorf("%s is %d bytes long, more than the %d that an account file may have", p, size, l.account)
	}
	return nil
}

// Uncompress reads a layer's archive from blob, which it closes with what it
// returns, or with an error. Gzip and zstd are recognized by their first bytes:
// media types are known to lie, and the diff ID settles it.
func Uncompress(blob io.ReadCloser) (io.ReadCloser, error) {
	r, err := uncompress(blob, defaultLimits.window)
	if err != nil {
		return nil, errors.Join(err, blob.Close())
	}
	return &uncompressed{r, blob}, nil
}

type uncompressed struct {
	io.ReadCloser
	blob io.Closer
}

func (u *uncompressed) Close() error { return errors.Join(u.ReadCloser.Close(), u.blob.Close()) }

func uncompress(r io.Reader, window uint64) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return z, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// entries calls do with each entry of layer i and its content, until it returns an
// error; fs.SkipAll ends the walk without one.
func entries(ctx context.Context, open func(i int) (io.ReadCloser, error), i int, do func(h *tar.Header, content io.Reader) error) error {
	r, err := open(i)
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := uncompress(r, defaultLimits.window)
	if err != nil {
		return err
	}
	defer content.Close()
	tr := tar.NewReader(&contentReader{ctx: ctx, r: content, read: new(int64), limit: MaxContent})
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if err := do(h, tr); errors.Is(err, fs.SkipAll) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// contentReader ends with an error after limit bytes in all, or with ctx.
type contentReader struct {
	ctx   context.Context
	r     io.Reader
	read  *int64 // bytes so far, of all readers with the same limit
	limit int64
	check func() error // after each read; nil: none
}

func (c *contentReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if *c.read += int64(n); *c.read > c.limit {
		return n, fmt.Errorf("more than %d bytes, uncompressed", c.limit)
	}
	if c.check != nil {
		if err := c.check(); err != nil {
			return n, err
		}
	}
	return n, err
}

// countingReader counts what was read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
