package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// ends are the ways in which a run of "go tool mage" is ended from outside:
// a signal for one process of the chain, or for all of the terminal's.
var ends = []struct {
	name   string
	member string // of the family; "": the process group
	signal syscall.Signal
}{
	{"go tool told to stop", "go", syscall.SIGTERM},
	{"go tool killed", "go", syscall.SIGKILL},
	{"mage told to stop", "mage", syscall.SIGTERM},
	{"mage killed", "mage", syscall.SIGKILL},
	{"magefile told to stop", "magefile", syscall.SIGTERM},
	{"magefile killed", "magefile", syscall.SIGKILL},
	{"Ctrl-C", "", syscall.SIGINT},
	{"all killed", "", syscall.SIGKILL},
}

// TestOrphans ends runs while they compile, and while they upload, and looks
// whether anything that they started is there two seconds later.
func TestOrphans(t *testing.T) {
	t.Parallel()
	testenv.Slow(t)
	p := newTinyProject(t, buildlib.Project{Platforms: []string{"linux/amd64"}}, map[string]string{
		"cmd/slow/main.go": "package main\n\nfunc main() {}\n",
		"noise":            noise(16 << 20),
	})
	deaf := newDeafRegistry(t)
	// Links everything that "go tool mage" wants.
	run(t, p.dir, p.env, "go", "tool", "mage", "images")

	for i, end := range ends {
		t.Run("compile/"+end.name, func(t *testing.T) {
			p.configure(t, buildlib.Project{Platforms: []string{"linux/amd64"}})
			writeFile(t, filepath.Join(p.dir, "cmd", "slow", "main.go"), slowMain(i, 20000))
			f := p.start(t, nil, "go", "tool", "mage", "images")
			f.find(t, "compile", "/cmd/slow/main.go") // and not mage's of the magefile
			f.end(t, end.member, end.signal)
		})
		t.Run("upload/"+end.name, func(t *testing.T) {
			account := fmt.Sprint("acme", i)
			p.configure(t, buildlib.Project{
				Platforms: []string{"linux/amd64"}, Registries: []string{deaf.host + "/" + account},
				Images: []buildlib.Image{{Name: "slow", Files: []buildlib.File{{Source: "noise", Path: "/noise"}}}},
			})
			writeFile(t, filepath.Join(p.dir, "cmd", "slow", "main.go"), "package main\n\nfunc main() {}\n")
			f := p.start(t, nil, "go", "tool", "mage", "manifest")
			deaf.wait(t, f, account+"/slow")
			f.end(t, end.member, end.signal)
		})
	}
}

// TestSurvivors starts runs in the background of a shell that then ends. Nobody
// wants them to end with it.
func TestSurvivors(t *testing.T) {
	t.Parallel()
	testenv.Slow(t)
	p := newTinyProject(t, buildlib.Project{Platforms: []string{"linux/amd64"}}, map[string]string{"cmd/slow/main.go": "package main\n\nfunc main() {}\n"})
	run(t, p.dir, p.env, "go", "tool", "mage", "images")
	for i, tt := range []struct{ name, script string }{
		{"compiled, nohup", `nohup "$0" images &`},
		{"compiled", `"$0" images &`},
		{"compiled, setsid", `setsid "$0" images &`},
		{"go tool mage, nohup", `nohup go tool mage images &`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			writeFile(t, filepath.Join(p.dir, "cmd", "slow", "main.go"), slowMain(100+i, 3000))
			f := p.start(t, nil, "sh", "-c", tt.script+" sleep 0.5", p.tool)
			<-f.done
			if len(f.members()) == 0 && !strings.Contains(f.output(), "dist/oci/slow@sha256:") {
				t.Errorf("it ended with the shell:\n%s", f.output())
			}
			for deadline := time.Now().Add(2 * time.Minute); len(f.members()) > 0 && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond)
			}
			if !strings.Contains(f.output(), "dist/oci/slow@sha256:") {
				t.Errorf("it made nothing:\n%s", f.output())
			}
		})
	}
}

// end signals a member, or the group, and expects everybody's end.
func (f *family) end(t *testing.T, name string, signal syscall.Signal) {
	t.Helper()
	pid := -f.cmd.Process.Pid
	switch name {
	case "":
	case "go":
		pid = f.cmd.Process.Pid
	case "magefile":
		// mage runs it from its cache, where it has a hash for a name.
		pid = f.child(t, f.find(t, "mage").pid)
	default:
		pid = f.find(t, name).pid
	}
	since := time.Now()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
	f.wantGone(t, since)
	if t.Failed() {
		t.Logf("it said:\n%s", f.output())
	}
}

// child is the member whose parent is the process pid.
func (f *family) child(t *testing.T, pid int) int {
	t.Helper()
	for _, m := range f.members() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
		if err == nil && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", pid)) {
			return m.pid
		}
	}
	t.Fatalf("process %d has no child among %v", pid, f.members())
	return 0
}

// slowMain is a program that takes the compiler long, and that no cache has: a
// second for some 1500 functions.
func slowMain(n, functions int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package main\n\nconst seed = %d\n\nfunc main() { println(f0(seed)) }\n", time.Now().UnixNano()+int64(n))
	for i := range functions {
		fmt.Fprintf(&b, "\nfunc f%d(x int) int {\n\tfor x%%%d != 0 {\n\t\tx = x*%d + x/%d\n\t}\n\tif x > %d {\n\t\treturn x\n\t}\n\treturn f%d(x + 1)\n}\n",
			i, i+2, i+3, i+5, i, (i+1)%functions)
	}
	return b.String()
}

// noise is what can't be compressed (xorshift).
func noise(size int) string {
	data := make([]byte, size)
	x := uint64(88172645463325252)
	for i := range data {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		data[i] = byte(x >> 32)
	}
	return string(data)
}

// deafRegistry answers requests until a large blob is sent, which it doesn't
// read: an upload that stalls.
type deafRegistry struct {
	host    string
	stalled chan string // the paths of uploads that do
}

func newDeafRegistry(t *testing.T) *deafRegistry {
	t.Helper()
	r := &deafRegistry{stalled: make(chan string, 1)}
	stop := make(chan struct{})
	answers := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/uploads/") && req.ContentLength > 1<<20 {
			select {
			case r.stalled <- req.URL.Path:
			case <-stop:
			}
			<-stop
			return
		}
		answers.ServeHTTP(w, req)
	}))
	t.Cleanup(func() {
		close(stop)
		server.Close()
	})
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// wait waits until an upload of the family to a repository stalls.
func (r *deafRegistry) wait(t *testing.T, f *family, repository string) {
	t.Helper()
	patience := time.After(time.Minute)
	for {
		select {
		case path := <-r.stalled:
			if strings.HasPrefix(path, "/v2/"+repository+"/") { // and not one of before
				return
			}
		case <-f.done:
			t.Fatalf("%s ended before it uploaded:\n%s", f.cmd, f.output())
		case <-patience:
			t.Fatalf("%s uploads nothing in a minute", f.cmd)
		}
	}
}
