package testenv

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// engine is the Docker engine that this test process started, if it did.
var engine dockerd

type dockerd struct {
	mu     sync.Mutex
	shared bool // Main runs the tests and stops the engine after the last
	users  int  // tests that use the engine, when nobody else stops it
	child  *child
	dir    string
	host   string // unix:///...
}

// Docker makes sure that a Docker engine answers and returns the environment
// for programs that talk to it: nothing where one runs already; DOCKER_HOST of
// a dockerd without networks, of its own folders, where the test is root and
// has to start one. Containers get no network: docker run --network none.
func Docker(t testing.TB) []string {
	t.Helper()
	Require(t, "docker")
	engine.mu.Lock()
	defer engine.mu.Unlock()
	if engine.child == nil {
		if docker() == nil {
			return nil
		}
		if os.Getuid() != 0 {
			Missing(t, "docker", "no engine answers, and starting one takes root")
		}
		if _, err := exec.LookPath("dockerd"); err != nil {
			Missing(t, "docker", "no engine answers, and dockerd isn't in PATH (Debian package docker.io)")
		}
		if err := engine.start(); err != nil {
			Missing(t, "docker", "no engine answers, and dockerd doesn't start: "+err.Error())
		}
	}
	if !engine.shared {
		engine.users++
		t.Cleanup(engine.release)
	}
	return []string{"DOCKER_HOST=" + engine.host}
}

// docker asks the engine that the environment names whether it is there.
func docker(env ...string) error {
	cmd := exec.Command("docker", "version", "--format", "{{.Server.Version}}")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return nil
}

func (e *dockerd) start() error {
	// A socket's path has room for about a hundred bytes, which a test's own
	// temporary folder may exceed.
	dir, err := os.MkdirTemp("", "dockerd-")
	if err != nil {
		return err
	}
	host := "unix://" + filepath.Join(dir, "sock")
	c, err := start(exec.Command("dockerd",
		"--host="+host,
		"--iptables=false", "--ip6tables=false", "--bridge=none",
		"--data-root="+filepath.Join(dir, "data"),
		"--exec-root="+filepath.Join(dir, "exec"),
		"--pidfile="+filepath.Join(dir, "pid"),
	))
	if err == nil {
		err = c.await(time.Minute, func() error { return docker("DOCKER_HOST=" + host) })
		if err != nil {
			c.stop(30 * time.Second)
		}
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	e.child, e.dir, e.host = c, dir, host
	return nil
}

// release is called by each test that used the engine, where Main doesn't.
func (e *dockerd) release() {
	e.mu.Lock()
	e.users--
	last := e.users == 0
	e.mu.Unlock()
	if last {
		e.stop()
	}
}

func (e *dockerd) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return
	}
	e.child.stop(30 * time.Second)
	_ = os.RemoveAll(e.dir)
	e.child = nil
}
