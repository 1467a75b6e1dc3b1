package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/store"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// counting counts the blobs that are put into a cache.
type counting struct {
	store.Cache
	mu   sync.Mutex
	puts int
}

func (c *counting) Put(want v1.Hash, r io.Reader) (v1.Hash, int64, error) {
	c.mu.Lock()
	c.puts++
	c.mu.Unlock()
	return c.Cache.Put(want, r)
}

func TestLayerCache(t *testing.T) {
	bin := executable(t, "/app", compressible(blockSize+1))
	cache := &counting{Cache: newBuilder(t).Cache}
	image := func(s Spec) *Rootfs { return mustBuild(t, &Builder{Cache: cache}, s) }
	built := func(n int) {
		t.Helper()
		if cache.puts != n {
			t.Errorf("%d layers built, want %d", cache.puts, n)
		}
		cache.puts = 0
	}
	spec := Spec{Base: &filetree.Tree{}, Binaries: []Executable{bin}}
	first := image(spec)
	built(1)

	// A hit needs nothing of the binary but its digest.
	if err := os.Remove(bin.Source); err != nil {
		t.Fatal(err)
	}
	if second := image(spec); !slices.Equal(digests(t, second), digests(t, first)) {
		t.Error("the image differs from the cache's")
	}
	built(0)

	// Another user leaves the binary's layer alone.
	other := spec
	other.User = User{Name: "app"}
	image(other)
	built(1) // the accounts

	layers := first.Layers
	h, _ := layers[0].Digest()
	blob, err := cache.Blob(h)
	if err != nil {
		t.Fatal(err)
	}
	content := compressible(blockSize + 1)
	if err := os.WriteFile(bin.Source, content, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"missing": func() error { return os.Remove(blob) },
		"corrupt": func() error {
			if err := os.Chmod(blob, 0o644); err != nil {
				return err
			}
			f, err := os.OpenFile(blob, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("XX"), 100)
			return errors.Join(err, f.Close())
		},
		"truncated": func() error {
			if err := os.Chmod(blob, 0o644); err != nil {
				return err
			}
			return os.Truncate(blob, 10)
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		again := image(spec)
		built(1)
		if !slices.Equal(digests(t, again), digests(t, first)) {
			t.Errorf("%s blob: another image", name)
		}
		if err := validate.Layer(again.Layers[0]); err != nil {
			t.Errorf("%s blob: %v", name, err)
		}
	}
}

// A disk may change a blob and leave its times: the blob that is found to be
// corrupt when it is read is made again, by the same layer.
func TestLayerIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	cache, err := store.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	img := mustBuild(t, &Builder{Cache: cache}, Spec{Base: &filetree.Tree{}, Binaries: []Executable{executable(t, "/app", compressible(blockSize+1))}})
	layers := img.Layers
	last := layers[len(layers)-1]
	h, _ := last.Digest()
	read := func() error {
		r, err := last.Compressed()
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	}
	testenv.Rot(t, dir, h)
	if err := read(); !errors.Is(err, disk.ErrContent) {
		t.Errorf("reading the corrupt blob: %v, want ErrContent", err)
	}
	if err := read(); err != nil {
		t.Errorf("reading it once more: %v", err)
	}
	if err := validate.Layer(last); err != nil {
		t.Error(err)
	}
}

func TestLayerKey(t *testing.T) {
	base := textFile("/a", 0o644, []byte("x"), "here")
	keys := map[string]bool{layerKey(&gzipFormat, []change{base}): true}
	for name, edit := range map[string]func(*change){
		"path":    func(c *change) { c.Path = "/b" },
		"mode":    func(c *change) { c.Mode = 0o600 },
		"uid":     func(c *change) { c.UID = 1 },
		"gid":     func(c *change) { c.GID = 1 },
		"xattrs":  func(c *change) { c.Xattrs = map[string]string{"user.a": "b"} },
		"content": func(c *change) { c.Digest = textFile("", 0, []byte("y"), "").Digest },
	} {
		c := base
		edit(&c)
		if key := layerKey(&gzipFormat, []change{c}); keys[key] {
			t.Errorf("%s isn't part of the key", name)
		} else {
			keys[key] = true
		}
	}
	same := base
	same.Source = "there"
	if !keys[layerKey(&gzipFormat, []change{same})] {
		t.Error("the place on this machine is part of the key")
	}
}

func TestBinaryChangedWhileRead(t *testing.T) {
	for name, now := range map[string]string{"edited": "prOgram", "grown": "program and more", "shrunk": "prog"} {
		t.Run(name, func(t *testing.T) {
			bin := executable(t, "/app", []byte("program"))
			if err := os.WriteFile(bin.Source, []byte(now), 0o755); err != nil {
				t.Fatal(err)
			}
			buildError(t, newBuilder(t), Spec{Binaries: []Executable{bin}}, "binary /app: "+bin.Source+" has changed while it was read")
		})
	}
}

// A known identity spares the second hashing, and only that.
func TestBinaryOfKnownIdentity(t *testing.T) {
	bin := executable(t, "/app", []byte("program"))
	var err error
	if bin.Identity, err = disk.Identify(bin.Source); err != nil {
		t.Fatal(err)
	}
	mustBuild(t, newBuilder(t), Spec{Binaries: []Executable{bin}})

	if err := os.Link(bin.Source, bin.Source+"2"); err != nil { // changes the identity, not the content
		t.Fatal(err)
	}
	mustBuild(t, newBuilder(t), Spec{Binaries: []Executable{bin}})

	info, err := os.Stat(bin.Source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin.Source, []byte("prOgram"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(bin.Source, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	buildError(t, newBuilder(t), Spec{Binaries: []Executable{bin}}, "has changed while it was read")
}

func TestFileWrittenWhileRead(t *testing.T) {
	bin := executable(t, "/app", []byte("program"))
	id, err := disk.Identify(bin.Source)
	if err != nil {
		t.Fatal(err)
	}
	c := change{
		Path: "/app", Type: tar.TypeReg, Size: bin.Size, Digest: bin.Digest, Source: bin.Source, Identity: id,
		Open: func() (io.ReadCloser, error) {
			if err := os.WriteFile(bin.Source, []byte("prOgram"), 0o755); err != nil {
				return nil, err
			}
			return os.Open(bin.Source)
		},
	}
	if id.Changed == 0 {
		t.Skip("no identities here")
	}
	if err := writeTar(t.Context(), io.Discard, []change{c}); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("got %v", err)
	}
}

// One binary in several images at once is compressed once.
func TestSharedLayerIsBuiltOnce(t *testing.T) {
	bin := executable(t, "/app", compressible(8*blockSize))
	cache := &counting{Cache: newBuilder(t).Cache}
	a := &Builder{Cache: cache}
	base := &filetree.Tree{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := a.Build(context.Background(), Spec{Base: base, Binaries: []Executable{bin}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if cache.puts != 1 {
		t.Errorf("built %d times", cache.puts)
	}
}

// The end of one image must not take along another that waits for its layer.
func TestAbandonedLayerIsBuiltAgain(t *testing.T) {
	a := newBuilder(t)
	content := []byte("x")
	c := textFile("/a", 0o644, content, "test")
	open := c.Open
	started, stop := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.Open = func() (io.ReadCloser, error) {
		first := false
		once.Do(func() { first = true })
		if first {
			close(started)
			<-stop
			return nil, errors.New("stopped")
		}
		return open()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := a.layer(ctx, []change{c}); err == nil {
			t.Error("the first one succeeded")
		}
	})
	<-started
	wg.Go(func() {
		if _, err := a.layer(t.Context(), []change{c}); err != nil {
			t.Errorf("the second one: %v", err)
		}
	})
	cancel()
	close(stop)
	wg.Wait()
}

func TestCacheFails(t *testing.T) {
	bin := executable(t, "/app", compressible(20*blockSize))
	a := &Builder{Cache: fullCache{newBuilder(t).Cache}}
	buildError(t, a, Spec{Binaries: []Executable{bin}}, "cache: disk full")
}

type fullCache struct{ store.Cache }

func (fullCache) Put(_ v1.Hash, r io.Reader) (v1.Hash, int64, error) {
	io.CopyN(io.Discard, r, 100)
	return v1.Hash{}, 0, errors.New("disk full")
}

func TestLongPathsArePlain(t *testing.T) {
	long := "/" + string(bytes.Repeat([]byte("d/"), 100)) + string(bytes.Repeat([]byte("n"), 120)) + "-ü"
	img := mustBuild(t, newBuilder(t), Spec{Binaries: []Executable{executable(t, long, []byte("x"))}})
	if got := contentOf(t, img, long); got != "x" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkLayer(b *testing.B) {
	bin := executable(b, "/app", compressible(40<<20))
	base := debianTree()
	spec := Spec{Base: base, Binaries: []Executable{bin}}
	b.Run("cold", func(b *testing.B) {
		b.SetBytes(bin.Size)
		for b.Loop() {
			b.StopTimer()
			s, err := store.Open(context.Background(), b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			mustBuild(b, &Builder{Cache: s}, spec)
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
	})
	b.Run("hit", func(b *testing.B) {
		a := newBuilder(b)
		mustBuild(b, a, spec)
		for b.Loop() {
			mustBuild(b, &Builder{Cache: a.Cache}, spec)
		}
	})
}
