package rootfs

import (
	"bytes"
	"encoding/binary"
	"runtime/debug"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Compressions are the values of Builder.Compression: the first is the default.
var Compressions = []string{"gzip", "zstd"}

// format is how a layer is compressed: blocks, each compressed on its own, between
// a header and an end.
type format struct {
	media  types.MediaType
	name   string // changes with the bytes, unless the compressor's version does
	header []byte
	block  func(out *bytes.Buffer, raw []byte) error
	end    func(crc, size uint32) []byte // of all that was written
}

// formatOf is the format of a Builder.Compression.
func formatOf(compression string) *format {
	if compression == "zstd" {
		return &zstdFormat
	}
	return &gzipFormat
}

// Layers are compressed at the fastest level: on Go binaries gzip's level 3 takes
// a third longer for 6% less.
const level = flate.BestSpeed

// The compressor is a module, whose output changes from version to version. The
// version that the running program was built with, where that is known, comes
// first: a project may select a later one.
const (
	compressModule  = "github.com/klauspost/compress"
	compressVersion = "v1.20.3"
)

// compressorName is the part of a layer's key that names the compressor.
var compressorName = sync.OnceValue(func() string {
	version := compressVersion
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path != compressModule {
				continue
			}
			if version = m.Version; m.Replace != nil {
				version = m.Replace.Path + " " + m.Replace.Version
			}
		}
	}
	return compressModule + " " + version
})

// gzipFormat is a single member (RFC 1952), because some readers stop after the first.
// Its header has no name and time, the fastest level and an unknown system. Its last
// block is stored and empty.
var gzipFormat = format{
	media:  types.OCILayer,
	name:   "gzip level 1 blocks of 1 MiB",
	header: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff},
	block: func(out *bytes.Buffer, raw []byte) error {
		w := flaters.Get().(*flate.Writer)
		defer flaters.Put(w)
		w.Reset(out)
		if _, err := w.Write(raw); err != nil {
			return err
		}
		return w.Flush() // ends on a byte, so that blocks can be joined
	},
	end: func(crc, size uint32) []byte {
		end := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0xff, 0xff}, crc)
		return binary.LittleEndian.AppendUint32(end, size)
	},
}

var flaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return w
}}

// zstdFormat is a frame per block, with its checksum; frames that follow each
// other are one stream (RFC 8878, section 3).
var zstdFormat = format{
	media: types.OCILayerZStd,
	name:  "zstd fastest frames of 1 MiB",
	block: func(out *bytes.Buffer, raw []byte) error {
		w := zstdEncoders.Get().(*zstd.Encoder)
		defer zstdEncoders.Put(w)
		out.Write(w.EncodeAll(raw, out.AvailableBuffer()))
		return nil
	},
	end: func(uint32, uint32) []byte { return nil },
}

var zstdEncoders = sync.Pool{New: func() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(blockSize))
	if err != nil {
		panic(err) // only for options that do not exist
	}
	return w
}}
