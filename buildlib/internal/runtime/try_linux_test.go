package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Where there is no sandbox, an engine runs programs as the sandbox does, and
// keeps nothing of them.
func TestTry(t *testing.T) {
	for _, program := range []string{"docker", "podman"} {
		t.Run(program, func(t *testing.T) {
			if program == "docker" {
				for _, variable := range testenv.Docker(t) {
					name, value, _ := strings.Cut(variable, "=")
					t.Setenv(name, value)
				}
			}
			// Podman raises limits, which it may not do everywhere.
			conf := filepath.Join(t.TempDir(), "containers.conf")
			if err := os.WriteFile(conf, []byte("[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Setenv("CONTAINERS_CONF", conf)
			path, err := exec.LookPath(program)
			if err != nil {
				testenv.Missing(t, program, err.Error())
			}
			e := Engine{Name: program, path: path}
			for name, c := range map[string]struct {
				text, want string
				limit      time.Duration
			}{
				"passes": {`test "$2" = "two words" && test "$(id -u)" = 405 && test "$(grep -c : /proc/net/dev)" = 1`, "", time.Minute},
				"fails":  {`echo no config; exit 3`, "exit status 3 of " + program + " run; it printed:\nno config", time.Minute},
				"hangs":  {`echo started; sleep 1000`, "still running after 5s; it printed:\nstarted", 5 * time.Second},
			} {
				p := script(t, "linux/amd64", "guest", c.text)
				p.Limit = c.limit
				err := e.try(t.Context(), p)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: %v, want %q", name, err, c.want)
				}
			}
			for _, args := range [][]string{{"ps", "--all"}, {"images"}} {
				out, err := exec.Command(path, args...).CombinedOutput()
				if err != nil || strings.Contains(string(out), "multimage-smoke") {
					t.Errorf("%s: %v\n%s", args[0], err, out)
				}
			}
		})
	}
}
