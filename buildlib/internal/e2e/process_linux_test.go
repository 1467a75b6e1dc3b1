package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib"
)

// tinyProject is a project that builds in a second, for tests of what becomes
// of runs that don't get that far.
type tinyProject struct {
	dir  string
	env  []string // of every run
	mage string   // the program mage
	tool string   // the compiled magefile
}

// newTinyProject makes a project of files and of jsonMagefile.
func newTinyProject(t *testing.T, project buildlib.Project, files map[string]string) *tinyProject {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	home, dir := t.TempDir(), filepath.Join(t.TempDir(), "tiny")
	p := &tinyProject{dir: dir, mage: buildMage(t)}
	module, err := goModule(root, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string]string{module, {"magefiles/magefile.go": jsonMagefile}, files} {
		for name, content := range files {
			writeFile(t, filepath.Join(dir, name), content)
		}
	}
	p.configure(t, project)
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), gitEnv(dir)...)
	for key, value := range goEnv() {
		p.env = append(p.env, key+"="+value)
	}
	p.env = append(p.env, "HOME="+home, "XDG_CONFIG_HOME="+home, "DOCKER_CONFIG="+home, "CI=true",
		"MULTIMAGE_CACHE="+filepath.Join(home, "cache"), "MULTIMAGE_VERSION=v0")
	p.env = slices.Clip(p.env) // to be appended to
	// They all have the same module and magefile.
	p.tool = program(t, "tool", func(path string) *exec.Cmd {
		cmd := exec.Command(p.mage, "-compile", path)
		cmd.Dir, cmd.Env = dir, p.env
		return cmd
	})
	return p
}

// configure writes what the magefile reads its Project from.
func (p *tinyProject) configure(t *testing.T, project buildlib.Project) {
	t.Helper()
	data, err := json.Marshal(project)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(p.dir, "project.json"), string(data))
}

// A family is a command and all that it started, whoever their parents are now:
// they inherit a variable of its environment.
type family struct {
	mark string
	cmd  *exec.Cmd
	said string        // the file with what they print
	done chan struct{} // closed when the command has ended
}

// start runs a command in the project's folder, in a process group of its own.
func (p *tinyProject) start(t *testing.T, env []string, program string, args ...string) *family {
	t.Helper()
	f := &family{said: filepath.Join(t.TempDir(), "said"), mark: fmt.Sprintf("TEST_FAMILY=%d.%d", os.Getpid(), time.Now().UnixNano()), done: make(chan struct{})}
	f.cmd = exec.Command(program, args...)
	f.cmd.Dir, f.cmd.Env = p.dir, append(append(p.env, env...), f.mark)
	said, err := os.Create(f.said) // no pipe: who is left would hold it open
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	f.cmd.Stdout, f.cmd.Stderr = said, said
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = f.cmd.Wait()
		close(f.done)
	}()
	t.Cleanup(func() {
		for _, m := range f.members() {
			_ = syscall.Kill(m.pid, syscall.SIGKILL)
		}
		<-f.done
	})
	return f
}

// output is what the family has printed so far.
func (f *family) output() string {
	data, _ := os.ReadFile(f.said)
	return string(data)
}

// member is a running process of a family.
type member struct {
	pid  int
	name string // of the program, without the folder
	args []string
}

func (m member) String() string { return fmt.Sprintf("%d %s", m.pid, strings.Join(m.args, " ")) }

// members are those that run. One that has ended, and whose status nobody has
// asked for yet, has no environment any more.
func (f *family) members() []member {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	var found []member
	for _, path := range all {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environ, []byte(f.mark+"\x00")) {
			continue
		}
		dir := filepath.Dir(path)
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		m := member{name: strings.TrimSpace(string(name)), args: strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")}
		fmt.Sscan(filepath.Base(dir), &m.pid)
		found = append(found, m)
	}
	return found
}

// find waits for a member of that name, one of whose arguments ends so, if that is
// given.
func (f *family) find(t *testing.T, name string, argument ...string) member {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, m := range f.members() {
			if m.name == name && (len(argument) == 0 || slices.ContainsFunc(m.args, func(a string) bool { return strings.HasSuffix(a, argument[0]) })) {
				return m
			}
		}
		select {
		case <-f.done:
			t.Fatalf("%s ended before there was a %s:\n%s", f.cmd, name, f.output())
		default:
		}
	}
	t.Fatalf("%s: no %s in a minute", f.cmd, name)
	return member{}
}

// patience is how long what a run started may outlive it.
const patience = 2 * time.Second

// wantGone fails unless the whole family ends within patience of a moment. Where more
// wants to run than there are processors, time counts for the share of it that
// each gets.
func (f *family) wantGone(t *testing.T, since time.Time) {
	t.Helper()
	var spent time.Duration
	for last := since; ; {
		left := f.members()
		if len(left) == 0 {
			return
		}
		if spent > patience {
			t.Errorf("%v after the end of %s there are still %q", patience, f.cmd, left)
			return
		}
		time.Sleep(10 * time.Millisecond)
		now := time.Now()
		spent += time.Duration(float64(now.Sub(last)) * min(1, float64(runtime.NumCPU())/float64(max(1, runnable()))))
		last = now
	}
}

// runnable is how many threads of the machine run or could: the fourth field of
// /proc/loadavg, before the slash (proc_loadavg(5)).
func runnable() int {
	data, _ := os.ReadFile("/proc/loadavg")
	var n, all int
	var load [3]float64
	fmt.Sscanf(string(data), "%f %f %f %d/%d", &load[0], &load[1], &load[2], &n, &all)
	return n
}
