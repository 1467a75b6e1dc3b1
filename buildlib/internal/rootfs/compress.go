package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"runtime"
	"runtime/debug"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

// Layers are compressed at the fastest level: on Go binaries level 3 takes a
// third longer for 6% less.
const level = flate.BestSpeed

// blockSize is what one block of a layer holds before compression. Blocks are
// compressed each on its own, so that one big binary keeps every core busy;
// of this size it costs a Go binary 0.1%. It is part of the layer format.
const blockSize = 1 << 20

// flateModule and flateVersion name the compressor, whose output changes from
// version to version. The version that the running program was built with,
// where that is known, comes first: a project may select a later one.
const (
	flateModule  = "github.com/klauspost/compress"
	flateVersion = "v1.20.3"
)

// compressorName is the part of a layer's key that names the compressor.
var compressorName = sync.OnceValue(func() string {
	version := flateVersion
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path != flateModule {
				continue
			}
			if version = m.Version; m.Replace != nil {
				version = m.Replace.Path + " " + m.Replace.Version
			}
		}
	}
	return flateModule + " " + version + " gzip level 1 blocks of 1 MiB"
})

// compressor turns streams into gzip. Its slots bound how many blocks of all
// streams are compressed at once.
type compressor struct {
	slots chan struct{}
}

func newCompressor() *compressor {
	return &compressor{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// The bytes around the blocks of a gzip stream of one member (RFC 1952): no
// name, no time, the fastest level, an unknown system; and a final, stored,
// empty block.
var (
	gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff}
	finalBlock = []byte{1, 0, 0, 0xff, 0xff}
)

// gzip writes to dst what fill writes, as gzip, and returns the sha256 of what
// fill wrote. The result depends on those bytes alone: not on how they are
// cut into writes, nor on the number of processors.
func (c *compressor) gzip(ctx context.Context, dst io.Writer, fill func(io.Writer) error) (v1.Hash, error) {
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
			g.Go(func() error { return c.compress(ctx, b) })
			return nil
		}}
		if err := fill(s); err != nil {
			return err
		}
		return s.flush()
	})
	sum, crc, size := sha256.New(), crc32.NewIEEE(), uint32(0)
	g.Go(func() error {
		if _, err := dst.Write(gzipHeader); err != nil {
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
	end := binary.LittleEndian.AppendUint32(bytes.Clone(finalBlock), crc.Sum32())
	if _, err := dst.Write(binary.LittleEndian.AppendUint32(end, size)); err != nil {
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

var flaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return w
}}

func (c *compressor) compress(ctx context.Context, b *block) error {
	defer close(b.done)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		b.err = context.Cause(ctx)
		return b.err
	}
	w := flaters.Get().(*flate.Writer)
	defer flaters.Put(w)
	w.Reset(&b.out)
	if _, b.err = w.Write(b.raw); b.err == nil {
		b.err = w.Flush() // ends on a byte, so that blocks can be joined
	}
	return b.err
}

// splitter cuts what is written to it into blocks.
type splitter struct {
	at   *block
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
