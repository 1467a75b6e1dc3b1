package gocache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// large are entries of outputs that don't compress, and the pack of them.
func large(t *testing.T) ([]Entry, Pack, []byte) {
	t.Helper()
	from, entries := made(t, string(noise(3<<20, 1)), string(noise(2<<20, 2)), string(noise(1<<20, 3)))
	x, _ := update(t, Index{}, from, entries)
	if len(x.Packs) != 1 {
		t.Fatalf("%d packs", len(x.Packs))
	}
	layer, err := os.ReadFile(x.Packs[0].path)
	if err != nil {
		t.Fatal(err)
	}
	return entries, x.Packs[0], layer
}

// checkPart fails if go would take anything in the folder for an entry that isn't
// right: one with an action and an output of the right size. It returns how many
// it would take.
func checkPart(t *testing.T, f Folder, entries []Entry) (n int) {
	t.Helper()
	for _, e := range entries {
		data, err := os.ReadFile(f.path(e.Output, outputFile))
		if err == nil && int64(len(data)) == e.Size && sha256.Sum256(data) != e.Output {
			t.Errorf("an output of the right size, %d, has another content", e.Size)
		}
		got, actionErr := f.entry(e.Action)
		if actionErr != nil {
			continue
		}
		if got != e || err != nil || int64(len(data)) != e.Size {
			t.Errorf("there is an action without its output: %v", err)
		}
		n++
	}
	return n
}

const unpackHere = "TEST_UNPACK"

// TestKilledUnpack ends processes that restore a pack with SIGKILL.
func TestKilledUnpack(t *testing.T) {
	if dir := os.Getenv(unpackHere); dir != "" { // the process that is killed
		x, err := decode(os.Getenv(unpackHere + "_INDEX"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Folder(dir).Unpack(context.Background(), x.Packs[0], os.Stdin)
		t.Fatal(err)
	}
	entries, p, layer := large(t)
	index, err := Index{Packs: []Pack{p}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, percent := range []int{20, 55, 70, 99} {
		f := Folder(t.TempDir())
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledUnpack$")
		cmd.Env = append(os.Environ(), unpackHere+"="+string(f), unpackHere+"_INDEX="+index)
		pipe, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It has read all but what fits into a pipe, and waits for more.
		if _, err := pipe.Write(layer[:len(layer)*percent/100]); err != nil {
			t.Error(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait()
		if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%d %%: it ended by itself: %v", percent, cmd.ProcessState)
		}
		n := checkPart(t, f, entries)
		t.Logf("killed at %d %%: %d entries are whole", percent, n)
		most = max(most, n)
		if n, err := f.Unpack(t.Context(), p, bytes.NewReader(layer)); n != len(entries) || err != nil {
			t.Errorf("then the pack gave %d entries (%v)", n, err)
		}
		if n := checkPart(t, f, entries); n != len(entries) {
			t.Errorf("then %d entries are whole", n)
		}
	}
	if most == 0 {
		t.Error("no process came as far as an entry")
	}
}

// TestFullDisk restores a pack where only a part of it has room.
func TestFullDisk(t *testing.T) {
	entries, p, layer := large(t)
	dir := t.TempDir()
	mount := func(options string) {
		t.Helper()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "multimage-test", dir).CombinedOutput(); err != nil {
			testenv.Missing(t, "tmpfs", "can't mount one (needs root): "+string(out))
		}
	}
	mount("size=5m")
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	f := Folder(dir)
	n, err := f.Unpack(t.Context(), p, bytes.NewReader(layer))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a full disk took %d entries (%v)", n, err)
	}
	if has := checkPart(t, f, entries); has != n || n == len(entries) {
		t.Errorf("a full disk has %d entries whole, and says %d", has, n)
	}
	mount("remount,size=20m")
	if n, err := f.Unpack(t.Context(), p, bytes.NewReader(layer)); n != len(entries) || err != nil {
		t.Errorf("with room again the pack gave %d entries (%v)", n, err)
	}
	if n := checkPart(t, f, entries); n != len(entries) {
		t.Errorf("then %d entries are whole", n)
	}
}
