package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Each engine is spoken to through its own command. The programs are stand-ins that
// note their arguments and keep the archive; those that don't know an argument fail.
func TestNamedEngine(t *testing.T) {
	for _, tt := range []struct {
		name, script, platform string
		calls                  string // what was asked, FILE for the archive
		err                    string
	}{
		{name: "docker", script: `version) echo linux/arm64;; load) cat >"$SAVED";;`, platform: "linux/arm64", calls: "version --format {{.Server.Os}}/{{.Server.Arch}}\nload --quiet\n"},
		{name: "podman", script: `info) echo linux/amd64;; load) cat >"$SAVED";;`, platform: "linux/amd64", calls: "info --format {{.Host.OS}}/{{.Host.Arch}}\nload --quiet\n"},
		{name: "nerdctl", script: `info) echo linux/aarch64;; load) cat >"$SAVED";;`, platform: "linux/arm64", calls: "info --format {{.OSType}}/{{.Architecture}}\nload --platform linux/arm64\n"},
		{name: "kind", script: `load) cp "$3" "$SAVED";;`, calls: "load image-archive FILE\n"},
		{name: "minikube", script: `image) cp "$3" "$SAVED";;`, calls: "image load FILE\n"},
		{name: "k3d", script: `cluster) echo "dev 1/1 0/0 true";; image) cp "$5" "$SAVED";;`, calls: "cluster list --no-headers\nimage import --cluster dev FILE\n"},
		{name: "k3d", script: `cluster) echo "a 1/1"; echo "b 1/1";;`, calls: "cluster list --no-headers\n", err: "k3d has the clusters a, b, and none is k3s-default"},
		{name: "kind", script: `load) echo 'no nodes found for cluster "kind"' >&2; exit 1;;`, calls: "load image-archive FILE\n", err: `kind load: no nodes found for cluster "kind" (exit status 1)`},
		{name: "nerdctl", script: `info) echo 'cannot access containerd socket' >&2; exit 1;;`, calls: "info --format {{.OSType}}/{{.Architecture}}\n", err: "nerdctl info: cannot access containerd socket"},
		{name: "kinds", err: `no engine is named "kinds": did you mean kind?`},
		{name: "minikube", err: "minikube is not installed: install it, or name another engine of docker, podman"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			saved, calls := filepath.Join(t.TempDir(), "saved.tar"), filepath.Join(t.TempDir(), "calls")
			t.Setenv("SAVED", saved)
			t.Setenv("CALLS", calls)
			programs := map[string]string{}
			if tt.script != "" {
				programs[tt.name] = "echo \"$@\" >>\"$CALLS\"\ncase $1 in\n" + tt.script + "\n*) exit 2;;\nesac\n"
			}
			fake(t, programs)
			e, err := NamedEngine(t.Context(), tt.name)
			if err == nil {
				_, err = e.LoadFor(t.Context(), "linux/arm64", testenv.Image(t, "arm64", testenv.RandomLayer(t, 500)), tags(t, "ghcr.io/acme/app:v1")...)
			}
			asked, _ := os.ReadFile(calls)
			lines := strings.Fields(string(asked))
			for i, word := range lines {
				if filepath.Base(word) == "image.tar" {
					if _, err := os.Stat(word); err == nil {
						t.Errorf("%s is still there", word)
					}
					lines[i] = "FILE"
				}
			}
			if !slices.Equal(lines, strings.Fields(tt.calls)) {
				t.Errorf("asked %q, want %q", lines, tt.calls)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.platform != "" && e.Platform.String() != tt.platform {
				t.Errorf("it runs %s, want %s", e.Platform, tt.platform)
			}
			if got := savedNames(t, saved); !slices.Equal(got, []string{"ghcr.io/acme/app:v1"}) {
				t.Errorf("loaded as %q", got)
			}
		})
	}
}
