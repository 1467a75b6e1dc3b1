package registry

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// logins are files by the place that each is at.
type loginFiles map[string]string

// machine is one with these files of logins, and a folder for helpers.
func machine(t *testing.T, files loginFiles) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for variable, value := range map[string]string{
		"HOME": dir + "/home", "USERPROFILE": dir + "/home", "DOCKER_CONFIG": "", "XDG_RUNTIME_DIR": dir + "/run", "XDG_CONFIG_HOME": "",
		"REGISTRY_AUTH_FILE": "", "DOCKER_AUTH_CONFIG": "", "GITHUB_TOKEN": "",
		"PATH": dir + "/bin" + string(os.PathListSeparator) + os.Getenv("PATH"),
	} {
		t.Setenv(variable, value)
	}
	for place, content := range files {
		path := filepath.Join(dir, map[string]string{
			"named": "named.json", "docker": "home/.docker/config.json", "own": "own/config.json",
			"run": "run/containers/auth.json", "home": "home/.config/containers/auth.json",
		}[place])
		switch {
		case place == "GITHUB_TOKEN" || place == "DOCKER_AUTH_CONFIG":
			t.Setenv(place, content)
			continue
		case strings.HasPrefix(place, "docker-credential-"):
			path, content = filepath.Join(dir, "bin", place), "#!/bin/sh\n"+content+"\n"
		case place == "named":
			t.Setenv("REGISTRY_AUTH_FILE", path)
		case place == "own":
			t.Setenv("DOCKER_CONFIG", filepath.Dir(path))
		}
		if content == "absent" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if content == "folder" {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// auths is a file of logins: KEY USER:PASSWORD, ...
func auths(pairs ...string) string {
	var all []string
	for i := 0; i+1 < len(pairs); i += 2 {
		all = append(all, fmt.Sprintf(`%q:{"auth":%q}`, pairs[i], base64.StdEncoding.EncodeToString([]byte(pairs[i+1]))))
	}
	return `{"auths":{` + strings.Join(all, ",") + `}}`
}

func TestLogins(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its helpers are shell scripts")
	}
	const answer = `read -r host; echo '{"ServerURL":"x","Username":"helped","Secret":"at '$host'"}'`
	for _, test := range []struct {
		name  string
		files loginFiles
		repo  string
		want  string // USER:PASSWORD or a token; empty: anonymous
		why   string // what explains that; empty: nothing does
		push  string // the error of a push, after the folder; empty: none
	}{
		{"none", nil, "r.io/a", "", "", ""},
		{"docker", loginFiles{"docker": auths("r.io", "u:docker")}, "r.io/a", "u:docker", "", ""},
		{"DOCKER_CONFIG", loginFiles{"docker": auths("r.io", "u:home"), "own": auths("r.io", "u:own")}, "r.io/a", "u:own", "", ""},
		{"named first", loginFiles{"named": auths("r.io", "u:named"), "docker": auths("r.io", "u:docker"), "run": auths("r.io", "u:run")}, "r.io/a", "u:named", "", ""},
		{"docker second", loginFiles{"named": auths("s.io", "u:named"), "docker": auths("r.io", "u:docker"), "run": auths("r.io", "u:run")}, "r.io/a", "u:docker", "", ""},
		{"podman third", loginFiles{"docker": auths("s.io", "u:docker"), "run": auths("r.io", "u:run"), "home": auths("r.io", "u:home")}, "r.io/a", "u:run", "", ""},
		{"podman's home last", loginFiles{"docker": auths("s.io", "u:docker"), "run": auths("s.io", "u:run"), "home": auths("r.io", "u:home")}, "r.io/a", "u:home", "", ""},
		{"in the environment", loginFiles{"docker": auths("r.io", "u:docker"), "DOCKER_AUTH_CONFIG": auths("r.io", "u:environment")}, "r.io/a", "u:environment", "", ""},
		{"of GitHub", loginFiles{"docker": auths("s.io", "u:docker"), "GITHUB_TOKEN": "ghs_1"}, "ghcr.io/a/b", "unset:ghs_1", "", ""},
		{"before GitHub's", loginFiles{"run": auths("ghcr.io", "u:run"), "GITHUB_TOKEN": "ghs_1"}, "ghcr.io/a/b", "u:run", "", ""},
		{"another host's", loginFiles{"docker": auths("r.io:5000", "u:p", "evil-r.io", "u:q"), "GITHUB_TOKEN": "ghs_1"}, "r.io/a", "", "", ""},

		{"path", loginFiles{"run": auths("r.io", "u:all", "r.io/org", "u:org", "r.io/org/repo", "u:repo", "r.io/organ", "u:organ")}, "r.io/org/repo", "u:repo", "", ""},
		{"path above", loginFiles{"run": auths("r.io", "u:all", "r.io/org", "u:org", "r.io/org/repo", "u:repo")}, "r.io/org/repos/x", "u:org", "", ""},
		{"path of another", loginFiles{"run": auths("r.io", "u:all", "r.io/org", "u:org")}, "r.io/organ/x", "u:all", "", ""},
		{"url", loginFiles{"docker": auths("https://r.io/v2/", "u:p")}, "r.io/a", "u:p", "", ""},
		{"hub", loginFiles{"docker": auths("https://index.docker.io/v1/", "u:p")}, "alpine", "u:p", "", ""},
		{"hub of podman", loginFiles{"run": auths("docker.io", "u:all", "docker.io/acme", "u:acme")}, "acme/app", "u:acme", "", ""},
		{"identity", loginFiles{"docker": `{"auths":{"r.io":{"auth":"dTo=","identitytoken":"token"}}}`}, "r.io/a", "token", "", ""},
		{"unpadded", loginFiles{"docker": `{"auths":{"r.io":{"auth":"dTpwYXNz"}},"credsStore":""}`}, "r.io/a", "u:pass", "", ""},

		{"helper", loginFiles{"docker": `{"credHelpers":{"r.io":"x"},"auths":{"r.io":{}}}`, "docker-credential-x": answer}, "r.io/a", "helped:at r.io", "", ""},
		{"store", loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": answer}, "alpine", "helped:at https://index.docker.io/v1/", "", ""},
		{"token of a helper", loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": `echo '{"Username":"<token>","Secret":"identity"}'`}, "r.io/a", "identity", "", ""},
		{"helper without one", loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": `echo credentials not found in native keychain; exit 1`, "run": auths("r.io", "u:run")}, "r.io/a", "u:run", "", ""},
		{"no helper", loginFiles{"docker": `{"credsStore":"gone"}`}, "r.io/a", "",
			"/home/.docker/config.json names docker-credential-gone for r.io: it is not installed: install it, or remove it from that file and run docker login r.io", ""},
		{"no helper, but a login", loginFiles{"docker": `{"credsStore":"gone"}`, "run": auths("r.io", "u:run")}, "r.io/a", "u:run", "", ""},
		{"helper of another host", loginFiles{"docker": `{"credHelpers":{"s.io":"gone"}}`}, "r.io/a", "", "", ""},
		{"helper that fails", loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": `echo HUSH; echo HUSH >&2; exit 3`}, "r.io/a", "", "it fails (exit status 3): `echo r.io | docker-credential-x get` shows why", ""},
		{"helper that babbles", loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": `echo HUSH`}, "r.io/a", "", "its answer is not a login: ", ""},
		{"helper without end", loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": `yes HUSH`}, "r.io/a", "", "it fails (", ""},
		{"helper elsewhere", loginFiles{"docker": `{"credsStore":"../x"}`}, "r.io/a", "", "that is a path", ""},

		{"empty", loginFiles{"docker": "", "run": auths("r.io", "u:run")}, "r.io/a", "u:run", "", ""},
		{"cut off", loginFiles{"docker": `{"auths":`}, "r.io/a", "", "/home/.docker/config.json is cut off", "/home/.docker/config.json is cut off: fix it, or remove it and log in again"},
		{"no JSON", loginFiles{"docker": `{"auths":HUSH}`}, "r.io/a", "", "not valid JSON (at byte 10)", "/home/.docker/config.json is not valid JSON (at byte 10): "},
		{"another JSON", loginFiles{"docker": `{"auths":[12345678]}`}, "r.io/a", "", "config.json is not as", "/home/.docker/config.json is not as `docker login` writes it (auths): "},
		{"a folder", loginFiles{"docker": "folder"}, "r.io/a", "", "can't be read (is a directory)", "/home/.docker/config.json can't be read (is a directory)"},
		{"named, not there", loginFiles{"named": "absent"}, "r.io/a", "", "REGISTRY_AUTH_FILE", "/named.json doesn't exist, though REGISTRY_AUTH_FILE names it"},
		{"broken, after a login", loginFiles{"docker": auths("r.io", "u:docker"), "run": "{"}, "r.io/a", "u:docker", "", ""},
		{"broken, before a login", loginFiles{"docker": "{", "run": auths("r.io", "u:run")}, "r.io/a", "u:run", "config.json is cut off", "/home/.docker/config.json is cut off"},
		{"a broken entry", loginFiles{"docker": `{"auths":{"r.io":{"auth":"HUSH!"}}}`}, "r.io/a", "", "the login for r.io is not base64 of USER:PASSWORD", "/home/.docker/config.json: the login for r.io is not base64"},
		{"another's broken entry", loginFiles{"docker": `{"auths":{"s.io":{"auth":"HUSH!"},"t.io":7,"r.io":{"username":"u","password":"p"}}}`}, "r.io/a", "u:p", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := machine(t, test.files)
			var warned []string
			c := NewClient(t.Context(), Options{Warn: func(text string) { warned = append(warned, text) }})
			repo := repository(t, c, test.repo)
			auth, err := c.logins.ResolveContext(t.Context(), repo)
			if err != nil {
				t.Fatal(err)
			}
			config, err := authn.Authorization(t.Context(), auth)
			if err != nil {
				t.Fatal(err)
			}
			got := config.IdentityToken
			if got == "" && config.Password != "" {
				got = config.Username + ":" + config.Password
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			why := c.LoginProblem(repo)
			if !strings.Contains(why, test.why) || test.why == "" && why != "" || strings.Contains(why, "HUSH") {
				t.Errorf("problem %q, want %q", why, test.why)
			}
			if (len(warned) > 0) != (test.why != "") {
				t.Errorf("warned %q", warned)
			}
			_, err = (&session{Client: c, repo: repo, scope: transport.PushScope}).credentials(t.Context())
			if test.push == "" && err != nil || test.push != "" && (err == nil || !strings.Contains(err.Error(), ": "+dir+test.push)) || err != nil && strings.Contains(err.Error(), "HUSH") {
				t.Errorf("push: %v, want %s", err, test.push)
			}
		})
	}
}

// A helper that hangs ends with the run.
func TestHelperEndsWithTheRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its helper is a shell script")
	}
	machine(t, loginFiles{"docker": `{"credsStore":"x"}`, "docker-credential-x": "sleep 60"})
	c := NewClient(t.Context(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	_, err := (&session{Client: c, repo: repository(t, c, "r.io/a"), scope: transport.PushScope}).credentials(ctx)
	if d := time.Since(start); err == nil || d > 1900*time.Millisecond {
		t.Errorf("%v after %s", err, d)
	}
}

// If the registry wants a login, the error names the helper that is missing.
func TestRefusalNamesTheHelper(t *testing.T) {
	dir := machine(t, loginFiles{"docker": `{"credsStore":"gone"}`})
	srv := newServer(t, &fault{"POST /blobs/", 0, 0, answer(401)})
	c := NewClient(t.Context(), Options{})
	_, err := c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if want := "no valid login for " + srv.host + ": " + dir + "/home/.docker/config.json names docker-credential-gone"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	srv.heal()
	if _, err := c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{}); err != nil {
		t.Errorf("an open registry: %v", err)
	}
}
