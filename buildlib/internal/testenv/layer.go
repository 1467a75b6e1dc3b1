package testenv

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// epoch is the time of everything in a base: not zero, so that a test sees
// what keeps the base's time and what has multimage's.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Entry is one entry of a layer and, if it is a file, its content. Names are
// written as they are, so that a hostile one may be absolute or hold "..".
type Entry struct {
	tar.Header
	Body []byte
}

// Dir returns a folder's entry.
func Dir(name string, mode int64) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}}
}

// File returns a file's entry.
func File(name string, mode int64, body string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, Body: []byte(body)}
}

// Symlink returns a symbolic link's entry.
func Symlink(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// HardLink returns the entry of a hard link to an earlier entry.
func HardLink(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

// Layer returns a gzip layer of the OCI type that holds the entries in the
// order given.
func Layer(t testing.TB, entries ...Entry) v1.Layer {
	t.Helper()
	plain := Tar(t, entries...)
	return blob{
		data:      Gzip(t, plain),
		diffID:    SHA256(plain),
		mediaType: types.OCILayer,
	}
}

// Tar returns an archive of the entries in the order given.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var plain bytes.Buffer
	tw := tar.NewWriter(&plain)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.Body))
		if h.ModTime.IsZero() {
			h.ModTime = epoch
		}
		must(t, tw.WriteHeader(&h))
		_, err := tw.Write(e.Body)
		must(t, err)
	}
	must(t, tw.Close())
	return plain.Bytes()
}

// RawLayer returns a layer of exactly these compressed bytes, whatever they
// are. Its diff ID is made up.
func RawLayer(t testing.TB, data []byte) v1.Layer {
	t.Helper()
	return blob{data: data, diffID: SHA256([]byte("made up")), mediaType: types.OCILayer}
}

// Truncated returns a layer of which only the first half is there. Its digest
// is that of the half: it arrives whole and breaks while it is unpacked.
func Truncated(t testing.TB, l v1.Layer) v1.Layer {
	t.Helper()
	r, err := l.Compressed()
	must(t, err)
	data, err := io.ReadAll(r)
	must(t, err)
	return RawLayer(t, data[:len(data)/2])
}

// Bomb returns a layer with one file of the given size, all zeros, that takes
// a thousandth of it. Its diff ID is made up: nobody should get that far.
func Bomb(t testing.TB, name string, size int64) v1.Layer {
	t.Helper()
	const piece = 16 << 20
	var header bytes.Buffer
	must(t, tar.NewWriter(&header).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: epoch, Format: tar.FormatGNU,
	}))
	// A gzip stream may have many members: one, compressed once, again and again.
	data := Gzip(t, header.Bytes())
	zeros := Gzip(t, make([]byte, piece))
	for ; size >= piece; size -= piece {
		data = append(data, zeros...)
	}
	padding := (size+511)/512*512 + 1024
	return RawLayer(t, append(data, Gzip(t, make([]byte, padding))...))
}

// blob is a layer in memory.
type blob struct {
	data      []byte
	diffID    v1.Hash
	mediaType types.MediaType
}

func (b blob) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(b.data))
	return h, err
}
func (b blob) DiffID() (v1.Hash, error)            { return b.diffID, nil }
func (b blob) Size() (int64, error)                { return int64(len(b.data)), nil }
func (b blob) MediaType() (types.MediaType, error) { return b.mediaType, nil }
func (b blob) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.data)), nil
}
func (b blob) Uncompressed() (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(b.data)) }

// Gzip returns the data as gzip has it.
func Gzip(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// Zstd returns the data as zstd has it.
func Zstd(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// SHA256 returns the digest of the data.
func SHA256(data []byte) v1.Hash {
	h := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h[:])}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
