package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// role, in the environment of the test binary, makes it another process that
// takes what the test wants taken, says so, and waits to be killed.
const role = "MULTIMAGE_DISK_TEST_ROLE"

func TestMain(m *testing.M) {
	what, path, ok := strings.Cut(os.Getenv(role), " ")
	if !ok {
		os.Exit(m.Run())
	}
	if err := act(what, path); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func act(what, path string) error {
	switch what {
	case "lock":
		if _, err := TryLock(path, "process 4711 (mage images)"); err != nil {
			return err
		}
		fmt.Println("locked")
	case "scratch":
		s, err := NewScratch(context.Background(), path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.Dir, "half"), []byte("written"), 0o444); err != nil {
			return err
		}
		fmt.Println(s.Dir)
	}
	// Killed by the test; ends by itself if the test is gone.
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// other starts another process of that role and returns what it said, and
// what kills it.
func other(t *testing.T, what, path string) (said string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"="+what+" "+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // SIGKILL: nothing of it can clean up
		_ = cmd.Wait()
		stdin.Close()
	}
	t.Cleanup(kill)
	said, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil || strings.HasPrefix(said, "error:") {
		t.Fatalf("the other process: %q, %v", said, err)
	}
	return strings.TrimSpace(said), kill
}

func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	_, kill := other(t, "lock", path)

	if _, err := TryLock(path, "me"); !errors.Is(err, ErrLocked) {
		t.Fatalf("TryLock of a held lock: %v, want ErrLocked", err)
	}
	waited := make(chan string, 2)
	got := make(chan error, 1)
	go func() {
		l, err := WaitLock(context.Background(), path, "me", func(holder string) { waited <- holder })
		if err == nil {
			err = l.Unlock()
		}
		got <- err
	}()
	select {
	case holder := <-waited:
		if holder != "process 4711 (mage images)" {
			t.Errorf("waits for %q, want the holder's name", holder)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("waiting was not called")
	}
	select {
	case err := <-got:
		t.Fatalf("got the lock while another process holds it: %v", err)
	case <-time.After(250 * time.Millisecond):
	}
	kill()
	select {
	case err := <-got:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a killed process still holds the lock")
	}
	if len(waited) > 0 {
		t.Error("waiting was called more than once")
	}
}

func TestLockIsFreeAfterUnlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 3 {
		l, err := TryLock(path, "a holder of a long name")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := TryLock(path, "me"); !errors.Is(err, ErrLocked) {
			t.Errorf("TryLock of a held lock: %v, want ErrLocked", err)
		}
		if err := l.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
	// A shorter name must not be read with the tail of a longer one.
	l, err := TryLock(path, "b")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	if got := content(t, path); got != "b\n" {
		t.Errorf("the lock names %q, want b", got)
	}
}

func TestWaitLockEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := TryLock(path, "holder")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	start := time.Now()
	_, err = WaitLock(ctx, path, "me", func(string) { cancel(why) })
	if !errors.Is(err, why) {
		t.Errorf("error %v, want the context's cause", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v to notice", took)
	}
}
