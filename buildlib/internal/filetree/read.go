package filetree

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// scanLimits bound what a base may cost: whoever made it is not trusted.
type scanLimits struct {
	entries int    // tar headers and implied directories, all layers together
	names   int64  // bytes of paths and link targets, all layers together
	steps   int64  // path elements walked, links followed included
	path    int    // bytes of one path, of a link's target too (Linux' PATH_MAX)
	content int64  // bytes of all layers together, uncompressed
	small   int64  // bytes of one layer that are no bomb, however well they compress
	ratio   int64  // of a larger one's bytes to what they are compressed
	account int64  // bytes of one account file
	window  uint64 // bytes of zstd's window
}

// MaxContent is how much the layers of an image may be, uncompressed, in bytes.
const MaxContent = 64 << 30

var defaultLimits = scanLimits{
	entries: 1_000_000,
	names:   256 << 20,
	steps:   200_000_000,
	path:    4096,
	content: MaxContent,
	small:   1 << 30,
	ratio:   250, // programs and texts reach 10, zeros 1000
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

// Uncompress reads a layer's archive. Gzip and zstd are told by their first
// bytes: media types are known to lie, and the diff ID settles it.
func Uncompress(r io.Reader) (io.ReadCloser, error) { return uncompress(r, defaultLimits.window) }

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

// contentReader ends with an error after limit bytes in all, or with ctx.
type contentReader struct {
	ctx   context.Context
	r     io.Reader
	read  *int64 // bytes so far, of all readers that share it
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
