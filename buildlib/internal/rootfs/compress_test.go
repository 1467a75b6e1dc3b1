package rootfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// compressible is n bytes, always the same, that look a little like a program.
func compressible(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 500)
	for i := range words {
		words[i] = make([]byte, 2+r.IntN(14))
		for j := range words[i] {
			words[i][j] = byte(r.IntN(256))
		}
	}
	var b bytes.Buffer
	for b.Len() < n {
		b.Write(words[r.IntN(len(words))])
		b.WriteByte(byte(r.IntN(256)))
	}
	return b.Bytes()[:n]
}

func compressed(t testing.TB, f *format, raw []byte, chunk int) ([]byte, v1.Hash) {
	t.Helper()
	var out bytes.Buffer
	diffID, err := newCompressor().write(context.Background(), f, &out, func(w io.Writer) error {
		for rest := raw; len(rest) > 0; {
			n := min(chunk, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), diffID
}

func TestRoundTrip(t *testing.T) {
	all := compressible(2*blockSize + 12345)
	for _, compression := range Compressions {
		f := formatOf(compression)
		for _, n := range []int{0, 1, blockSize - 1, blockSize, blockSize + 1, len(all)} {
			out, diffID := compressed(t, f, all[:n], 1<<15)
			z, err := filetree.Uncompress(io.NopCloser(bytes.NewReader(out)))
			if compression == "gzip" {
				var one *gzip.Reader
				if one, err = gzip.NewReader(bytes.NewReader(out)); err == nil {
					one.Multistream(false) // some readers stop after the first member
				}
				z = one
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(z)
			if err != nil || !bytes.Equal(got, all[:n]) {
				t.Errorf("%s, %d bytes: got %d bytes, %v", compression, n, len(got), err)
			}
			if want, _, _ := v1.SHA256(bytes.NewReader(all[:n])); diffID != want {
				t.Errorf("%s, %d bytes: diffID %s, want %s", compression, n, diffID, want)
			}
		}
	}
}

// golden are the digests of 3 MB of compressible bytes by the compressor's
// version: they are the same on all systems and architectures.
var golden = map[string]map[string]string{
	"v1.20.3": {
		"gzip": "sha256:1945f2e6f903d0e264712c6c2636aaea7c41b865cdcf03ed41c6e62ba4e4cadc",
		"zstd": "sha256:15d07f2bc1d1bd2c57da9be21ac66f59ed638dedabf340f8c10ff5b03f3cd46e",
	},
}

func TestCompressionIsDeterministic(t *testing.T) {
	raw := compressible(3_000_000)
	for _, compression := range Compressions {
		f := formatOf(compression)
		first, _ := compressed(t, f, raw, 1<<15)
		again, _ := compressed(t, f, raw, 777)
		if !bytes.Equal(first, again) {
			t.Errorf("%s: the size of writes changes the bytes", compression)
		}
		procs := runtime.GOMAXPROCS(1)
		one, _ := compressed(t, f, raw, 1<<15)
		runtime.GOMAXPROCS(procs)
		if !bytes.Equal(first, one) {
			t.Errorf("%s: GOMAXPROCS changes the bytes", compression)
		}
		got, _, _ := v1.SHA256(bytes.NewReader(first))
		if want := golden[compressVersion][compression]; got.String() != want {
			t.Errorf("%s: digest %s, want %s for %s: a compressor that gives other bytes needs another layerFormat", compression, got, want, compressVersion)
		}
	}
}

func TestCompressorVersionIsTheModules(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "\t"+compressModule+" "+compressVersion+"\n") {
		t.Errorf("go.mod does not require %s %s: set compressVersion and add its golden digest", compressModule, compressVersion)
	}
	if !strings.Contains(compressorName(), compressVersion) {
		t.Errorf("compressor %q, want version %s", compressorName(), compressVersion)
	}
}

func TestCompressionStops(t *testing.T) {
	failed := errors.New("failed")
	t.Run("when the source fails", func(t *testing.T) {
		_, err := newCompressor().write(t.Context(), &gzipFormat, io.Discard, func(w io.Writer) error {
			w.Write(make([]byte, 5*blockSize))
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("when the destination fails", func(t *testing.T) {
		_, err := newCompressor().write(t.Context(), &gzipFormat, &failingWriter{failed}, func(w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, blockSize)); err != nil {
					return err
				}
			}
		})
		if !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("when the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := newCompressor().write(ctx, &gzipFormat, io.Discard, func(w io.Writer) error {
			for n := 0; ; n++ {
				if n == 3 {
					cancel(failed)
				}
				if _, err := w.Write(make([]byte, blockSize)); err != nil {
					return err
				}
			}
		})
		if !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
}

type failingWriter struct{ err error }

func (f *failingWriter) Write([]byte) (int, error) { return 0, f.err }
