package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/multimage/multimage/buildlib/internal/wording"
)

// problem is why a login may be missing.
type problem struct {
	text string
	// broken is set if a file can't be read. It may have the login, so nothing is
	// pushed with another one.
	broken bool
}

// maxLogins is the size of the largest file of logins that is read, in bytes.
const maxLogins = 4 << 20

// loginFile is Docker's config.json, or Podman's auth.json
// (containers-auth.json(5)).
type loginFile struct {
	path    string
	problem *problem

	Auths       map[string]json.RawMessage `json:"auths"`
	CredHelpers map[string]string          `json:"credHelpers"`
	CredsStore  string                     `json:"credsStore"`
}

// loginPaths returns the files in order of precedence.
func loginPaths() []string {
	var paths []string
	add := func(folder, rest string) {
		if folder != "" {
			paths = append(paths, filepath.Join(folder, rest))
		}
	}
	home, _ := os.UserHomeDir()
	inHome := func(folder string) string {
		if home == "" {
			return ""
		}
		return filepath.Join(home, folder)
	}
	add(os.Getenv("REGISTRY_AUTH_FILE"), "")
	if os.Getenv("DOCKER_AUTH_CONFIG") != "" {
		paths = append(paths, inEnvironment)
	}
	add(cmp.Or(os.Getenv("DOCKER_CONFIG"), inHome(".docker")), "config.json")
	add(os.Getenv("XDG_RUNTIME_DIR"), "containers/auth.json")
	if uid := os.Getuid(); uid >= 0 {
		add(runContainers, fmt.Sprint(uid, "/auth.json"))
	}
	add(cmp.Or(os.Getenv("XDG_CONFIG_HOME"), inHome(".config")), "containers/auth.json")
	return paths
}

// inEnvironment is the variable whose value Docker reads like a file.
const inEnvironment = "DOCKER_AUTH_CONFIG"

// runContainers is where Podman keeps logins if XDG_RUNTIME_DIR isn't set.
const runContainers = "/run/containers"

// readLogins reads the file. It returns nil if there is none.
func readLogins(path string) *loginFile {
	f := &loginFile{path: path}
	broken := func(format string, args ...any) *loginFile {
		f.problem = &problem{path + " " + fmt.Sprintf(format, args...), true}
		return f
	}
	named := path == filepath.Clean(os.Getenv("REGISTRY_AUTH_FILE"))
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && named:
		return broken("doesn't exist, though REGISTRY_AUTH_FILE names it: unset it, or run podman login")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission) && strings.HasPrefix(path, runContainers):
		return nil // root's
	case err != nil:
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err
		}
		return broken("can't be read (%v), and may hold logins: make it a file that you can read, or remove it", err)
	case len(strings.TrimSpace(string(data))) == 0:
		return f
	}
	if err := json.Unmarshal(data, f); err != nil {
		// The decoder's own message may quote a secret.
		at, badSyntax := errors.AsType[*json.SyntaxError](err)
		field, badType := errors.AsType[*json.UnmarshalTypeError](err)
		problem := "is not as `docker login` writes it"
		switch {
		case badSyntax && at.Offset >= int64(len(data)):
			problem = "is cut off"
		case badSyntax:
			problem = fmt.Sprintf("is not valid JSON (at byte %d)", at.Offset)
		case badType && field.Field != "":
			problem += " (" + wording.Clip(field.Field) + ")"
		}
		return broken("%s: fix it, or remove it and log in again", problem)
	}
	return f
}

func readFile(path string) ([]byte, error) {
	if path == inEnvironment {
		return []byte(os.Getenv("DOCKER_AUTH_CONFIG")), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLogins+1))
	if err == nil && len(data) > maxLogins {
		err = fmt.Errorf("it has more than %d bytes", maxLogins)
	}
	return data, err
}

// decodeLogin reads an entry of auths. Docker writes an empty one if a helper has
// the login.
func decodeLogin(raw json.RawMessage) (config authn.AuthConfig, err error) {
	none := authn.AuthConfig{}
	if json.Unmarshal(raw, &config) != nil {
		if config.Auth != "" {
			return none, errors.New("is not base64 of USER:PASSWORD")
		}
		return none, errors.New("is not as `docker login` writes it")
	}
	config.Auth, config.Password = "", strings.Trim(config.Password, "\x00")
	if config.Password == "" && config.IdentityToken == "" && config.RegistryToken == "" {
		return none, nil
	}
	return config, nil
}

// loginKey is the key of a login as HOST[/PATH]; Docker writes some as URLs.
func loginKey(key string) string {
	_, rest, isURL := strings.Cut(key, "://")
	if !isURL {
		rest = key
	}
	host, path, _ := strings.Cut(rest, "/")
	path = strings.Trim(path, "/")
	if path == "v1" || path == "v2" || isURL {
		path = "" // of the API
	}
	return strings.TrimSuffix(hostName(host)+"/"+path, "/")
}

// hostName is a registry as people write it: Docker Hub has several names.
func hostName(host string) string {
	switch host {
	case name.DefaultRegistry, "registry-1.docker.io":
		return "docker.io"
	}
	return host
}
