package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// blockSize is the size of a block of a layer before compression. Each block is
// compressed on its own, so that a big binary keeps every core busy. With this size
// a Go binary gets 0.1% larger. It is part of the layer format.
const blockSize = 1 << 20

// compressor compresses streams. Its slots bound how many blocks of all
// streams are compressed at once.
type compressor struct {
	slots chan struct{}
}

func newCompressor() *compressor {
	return &compressor{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// write compresses what fill writes to dst, and returns its sha256. The result depends
// on the bytes alone: not on how they are split into writes, nor on the number of
// processors.
func (c *compressor) write(ctx context.Context, f *format, dst io.Writer, fill func(io.Writer) error) (v1.Hash, error) {
	g, ctx := errgroup.WithContext(ctx)
	blocks := make(chan *block, cap(c.slots)+1) // bounds the memory of a stream
	g.Go(func() error {
		defer close(blocks)
		s := &splitter{emit: func(b *block) error {
			select {
			case blocks <- b:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			g.Go(func() error { return c.compress(ctx, f, b) })
			return nil
		}}
		if err := fill(s); err != nil {
			return err
		}
		return s.flush()
	})
	sum, crc, size := sha256.New(), crc32.NewIEEE(), uint32(0)
	g.Go(func() error {
		if _, err := dst.Write(f.header); err != nil {
			return err
		}
		for b := range blocks {
			sum.Write(b.raw)
			crc.Write(b.raw)
			size += uint32(len(b.raw)) // modulo 2^32, as gzip counts
			<-b.done
			if b.err != nil {
				return b.err
			}
			if _, err := dst.Write(b.out.Bytes()); err != nil {
				return err
			}
			b.release()
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return v1.Hash{}, err
	}
	if _, err := dst.Write(f.end(crc.Sum32(), size)); err != nil {
		return v1.Hash{}, err
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, nil
}

// block is a piece of a stream.
type block struct {
	raw  []byte
	out  bytes.Buffer
	err  error
	done chan struct{} // closed once out and err are set
}

var blocks = sync.Pool{New: func() any { return &block{raw: make([]byte, 0, blockSize)} }}

func newBlock() *block {
	b := blocks.Get().(*block)
	b.raw, b.err, b.done = b.raw[:0], nil, make(chan struct{})
	b.out.Reset()
	return b
}

func (b *block) release() { blocks.Put(b) }

func (c *compressor) compress(ctx context.Context, f *format, b *block) error {
	defer close(b.done)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		b.err = context.Cause(ctx)
		return b.err
	}
	b.err = f.block(&b.out, b.raw)
	return b.err
}

// splitter cuts what is written to it into blocks.
type splitter struct {
	at   *block // nil: the next write begins one
	emit func(*block) error
}

func (s *splitter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if s.at == nil {
			s.at = newBlock()
		}
		n := min(len(rest), blockSize-len(s.at.raw))
		s.at.raw = append(s.at.raw, rest[:n]...)
		rest = rest[n:]
		if len(s.at.raw) == blockSize {
			if err := s.flush(); err != nil {
				return len(p) - len(rest), err
			}
		}
	}
	return len(p), nil
}

func (s *splitter) flush() error {
	b := s.at
	if b == nil {
		return nil
	}
	s.at = nil
	return s.emit(b)
}
