package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// child is a server that a test started. Nothing but that one process is ever
// signalled, and it ends with the test binary even if that is killed.
type child struct {
	process *os.Process
	done    chan struct{} // closed when the process has ended
	output  *buffer
}

// start runs a server and keeps what it prints for error messages.
func start(cmd *exec.Cmd) (*child, error) {
	c := &child{done: make(chan struct{}), output: &buffer{}}
	cmd.Stdout, cmd.Stderr = c.output, c.output
	endWithParent(cmd)
	started := make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the thread that
		// forked ends, so that thread stays with this child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.process = cmd.Process
	return c, nil
}

// stop asks the process to end, insists after a while, and waits for it.
func (c *child) stop(patience time.Duration) {
	_ = c.process.Signal(os.Interrupt)
	select {
	case <-c.done:
		return
	case <-time.After(patience):
	}
	_ = c.process.Kill()
	<-c.done
}

// await calls ready until it returns nil. It gives up when the process has
// ended or the patience is over.
func (c *child) await(patience time.Duration, ready func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("it ended: %s", c.output)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("not ready after %v: %s", patience, c.output), err)
		}
	}
}

// buffer collects output from several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
