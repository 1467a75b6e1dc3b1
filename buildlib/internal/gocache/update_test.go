package gocache

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestManyCommits: what an image has stays in proportion to what a build uses,
// and each update sends little.
func TestManyCommits(t *testing.T) {
	testenv.Slow(t)
	base := make([]string, 8)
	for i := range base {
		base[i] = string(noise(64<<10, byte(i)))
	}
	f, library := made(t, base...)
	var x Index
	var most int64
	for i := range 30 {
		// Each commit compiles one package anew that the next one doesn't use.
		own, changing := made(t, string(noise(256<<10, byte(100+i))))
		packed, _ := update(t, Index{}, own, changing)
		restore(t, packed, f)
		next, changed := update(t, x, f, append(changing, library...))
		if !changed {
			t.Fatal("a commit made no pack")
		}
		var all, sent int64
		before := packs(x)
		for _, p := range next.Packs {
			all += p.Size
			if _, there := before[p.Digest]; !there {
				sent += p.Size
			}
			if p.Size > MaxPack {
				t.Errorf("a pack has %d bytes", p.Size)
			}
		}
		if i > 0 {
			most = max(most, sent)
		}
		if limit := int64(8*64+(maxSmall+3*maxAge)*256) << 10; all > limit {
			t.Fatalf("after %d commits the packs have %d bytes", i, all)
		}
		if len(next.Packs) > 2*maxSmall {
			t.Fatalf("after %d commits there are %d packs", i, len(next.Packs))
		}
		x = next
	}
	if limit := int64(8*64+(maxSmall+maxAge)*256+64) << 10; most > limit {
		t.Errorf("one commit sent %d bytes", most)
	}
	to := Folder(t.TempDir())
	restore(t, x, to)
	has := to.actions()
	for _, e := range library {
		if !has[e.Action] {
			t.Error("an entry that every commit uses has gone")
		}
	}
}

func TestPacksAreSmall(t *testing.T) {
	// Two outputs that don't compress, and together are too large for one pack.
	f, entries := made(t, string(noise(40<<20, 1)), string(noise(40<<20, 2)))
	x, _ := update(t, Index{}, f, entries)
	if len(x.Packs) != 2 {
		t.Errorf("%d packs", len(x.Packs))
	}
	f, entries = made(t, string(noise(MaxPack+1<<20, 3)), "small")
	x, _ = update(t, Index{}, f, entries)
	if len(x.Packs) != 1 || len(x.Packs[0].Entries) != 1 {
		t.Errorf("packs of one output that is too large: %d", len(x.Packs))
	}
}

func noise(size int, seed byte) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func TestImageIsReadAgain(t *testing.T) {
	f, entries := made(t, "one", "two")
	x, _ := update(t, Index{}, f, entries)
	manifest, config, err := x.Image(v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d, _, err := Config(manifest); err != nil || d.Size != int64(len(config)) {
		t.Errorf("the configuration has %d bytes, not %d (%v)", d.Size, len(config), err)
	}
	got, err := Read(manifest, config)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Packs) != 1 || len(got.Packs[0].Entries) != 2 {
		t.Fatalf("read %v of %v", got, x)
	}
	r, err := x.Packs[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if h, n, err := v1.SHA256(r); err != nil || h != got.Packs[0].Digest || n != got.Packs[0].Size {
		t.Errorf("the pack has %d bytes and digest %s (%v)", n, h, err)
	}
	if _, err := got.Packs[0].Open(); !errors.As(err, new(*Lost)) {
		t.Errorf("a pack that isn't here was opened: %v", err)
	}
	other, _ := update(t, Index{}, f, entries[:1])
	if manifest, _, err = other.Image(v1.Platform{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(manifest, config); err == nil {
		t.Error("packs were read that are no layers")
	}
}

// TestSuperseded: what an action put out before isn't restored, though its pack is kept.
func TestSuperseded(t *testing.T) {
	f, entries := made(t, "one", "library")
	x, _ := update(t, Index{}, f, entries)
	newer, made := made(t, "two")
	two := Entry{Action: entries[0].Action, Output: made[0].Output, Size: made[0].Size}
	file, err := os.Open(newer.path(two.Output, outputFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := f.Put(two, file); err != nil {
		t.Fatal(err)
	}
	x, _ = update(t, x, f, []Entry{two, entries[1]})
	if len(x.Packs) != 2 {
		t.Fatalf("%d packs", len(x.Packs))
	}
	to := Folder(t.TempDir())
	if n := restore(t, x, to); n != 2 {
		t.Errorf("restored %d entries", n)
	}
	if got, _, ok := to.Find(two.Action); !ok || got != two {
		t.Errorf("the action put out %x, want %x", got.Output, two.Output)
	}
	if missing := x.Missing(to); len(missing) != 0 {
		t.Errorf("%d packs are missing still", len(missing))
	}
}
