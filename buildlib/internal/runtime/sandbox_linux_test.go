package runtime

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// script is an alpine-shaped image whose shell runs the text, as user.
func script(t *testing.T, platform, user, text string) Program {
	t.Helper()
	b := testenv.Alpine(t)
	b.Config = func(_ string, c *v1.ConfigFile) {
		c.Config.Entrypoint, c.Config.Cmd = []string{"sh", "-c", text, "sh"}, []string{"unused"}
		c.Config.User, c.Config.WorkingDir = user, "/usr"
	}
	return Program{Image: b.Image(t, platform), Args: []string{"one", "two words"}, Limit: time.Minute, Dir: t.TempDir()}
}

// The sandbox shows what a container shows: to root and, with files that are all
// its own, to the program of an ordinary user.
func TestSandbox(t *testing.T) {
	for name, c := range map[string]struct{ user, text string }{
		"arguments": {"", `test $# = 2 && test "$2" = "two words"`},
		"user":      {"guest", `test "$(id -u):$(id -g)" = 405:100 && test "$HOME" = /dev/null`},
		"numbers":   {"65532:65532", `test "$(id -u):$(id -g)" = 65532:65532`},
		"root":      {"", `test "$(id -u)" = 0`},
		"folder":    {"", `test "$(pwd)" = /usr`},
		"rest":      {"", `test ! -e ` + os.Args[0]},
		"processes": {"guest", `test $$ = 1 && test "$(readlink /proc/self/exe)" = /bin/busybox`},
		"devices":   {"guest", `echo x >/dev/null && test "$(head -c 4 /dev/zero | wc -c)" = 4`},
		"network":   {"guest", `test "$(ls /sys/class/net 2>/dev/null; cat /proc/net/dev | grep -c :)" = 1`},
		"links":     {"", `test -L /etc/os-release && grep -q alpine /etc/os-release`},
		"own files": {"", `test "$(stat -c %a /tmp)" = 1777 && echo x >/tmp/x`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := script(t, "linux/amd64", c.user, c.text).sandbox(t.Context()); err != nil {
				skipUnavailable(t, err)
				t.Error(err)
			}
		})
	}
}

func skipUnavailable(t *testing.T, err error) {
	t.Helper()
	var no *Unavailable
	if errors.As(err, &no) {
		testenv.Missing(t, "namespaces", no.Reason)
	}
}

// Without root, the same holds.
func TestSandboxWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this user is not root: TestSandbox has tested it")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 65533, 65533); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "runtime.test")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	script(t, "linux/amd64", "", "true") // which fetches what the other can't
	cmd := exec.Command(program, "-test.run", "^TestSandbox$", "-test.v")
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if os.Getenv("TEST_BUSYBOX") == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, "busybox"), os.DirFS(filepath.Join(cache, "multimage-tests", "busybox-static"))); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "TEST_BUSYBOX="+filepath.Join(dir, "busybox"))
	}
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		testenv.Missing(t, "namespaces", string(out))
	}
}

// What goes wrong is told as it is, and by no terminal's orders.
func TestSandboxFailures(t *testing.T) {
	for name, c := range map[string]struct {
		user, text, want, not string
		limit                 time.Duration
	}{
		"status":     {"", `echo "no ` + "\x1b[31m" + `config"; exit 3`, "exit status 3; it printed:\nno [31mconfig", "\x1b", time.Minute},
		"much":       {"", `while true; do echo 0123456789; done | head -n 100000; echo the end; exit 1`, "the end", "", time.Minute},
		"time":       {"", `echo started; sleep 1000`, "still running after 1s; it printed:\nstarted", "", time.Second},
		"time at 1":  {"", `trap "" TERM INT; sleep 1000 & wait`, "still running after 1s", "", time.Second},
		"no user":    {"nobody-here", "", "nobody-here", "", time.Minute},
		"no program": {"", "", "can't be run", "", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			p := script(t, "linux/amd64", c.user, c.text)
			if name == "no program" {
				b := testenv.Alpine(t)
				b.Config = func(_ string, c *v1.ConfigFile) { c.Config.Entrypoint = []string{"/none"} }
				p.Image = b.Image(t, "linux/amd64")
			}
			p.Limit = c.limit
			err := p.sandbox(t.Context())
			skipUnavailable(t, err)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.not != "" && strings.Contains(err.Error(), c.not) {
				t.Errorf("%v, want %q and not %q", err, c.want, c.not)
			}
			if err != nil && len(err.Error()) > tailSize+1000 {
				t.Errorf("%d bytes", len(err.Error()))
			}
		})
	}
}

// An emulator is called where the kernel doesn't know it.
func TestSandboxInterpreter(t *testing.T) {
	for platform, qemu := range map[string]string{"linux/arm64": "qemu-aarch64-static", "linux/arm/v7": "qemu-arm-static"} {
		t.Run(qemu, func(t *testing.T) {
			path, err := exec.LookPath(qemu)
			if err != nil {
				testenv.Missing(t, "qemu", err.Error())
			}
			p := script(t, platform, "guest", `test "$(id -u)" = 405 && test "$2" = "two words"`)
			p.Interpreter = path
			if err := p.sandbox(t.Context()); err != nil {
				skipUnavailable(t, err)
				t.Error(err)
			}
		})
	}
}
