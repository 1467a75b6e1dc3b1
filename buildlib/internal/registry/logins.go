package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// logins finds credentials where `docker login`, `podman login` and credential
// helpers keep them, each looked at though another is there: ggcr's own
// keychain looks at Podman's file only if there is none of Docker's. It is an
// authn.Keychain for pulls, which go on without a login that can't be had.
type logins struct {
	helpers helpers
	learn   func(secrets ...string)
	warn    func(text string)

	mu    sync.Mutex
	files map[string]*loginFile // by path; nil: there is none
	found map[string]found      // by repository
	said  map[string]bool       // the warnings
}

// found is what there is for a repository.
type found struct {
	auth     authn.Authenticator
	problems []problem // in what came before
}

// problem is why a login may be missing.
type problem struct {
	text string
	// broken is set if it is a file that can't be read: what it says of a
	// registry isn't known, so nothing is pushed as somebody else.
	broken bool
}

// maxLogins bounds a file of logins, in bytes.
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

// loginPaths are the files, first those that count first.
func loginPaths() []string {
	var paths []string
	add := func(folder string, rest ...string) {
		if folder != "" {
			paths = append(paths, filepath.Join(append([]string{folder}, rest...)...))
		}
	}
	home, _ := os.UserHomeDir()
	add(os.Getenv("REGISTRY_AUTH_FILE"))
	if os.Getenv("DOCKER_AUTH_CONFIG") != "" {
		paths = append(paths, inEnvironment)
	}
	if own := os.Getenv("DOCKER_CONFIG"); own != "" {
		add(own, "config.json")
	} else if home != "" {
		add(home, ".docker", "config.json")
	}
	add(os.Getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	if uid := os.Getuid(); uid >= 0 {
		add(runContainers, fmt.Sprint(uid), "auth.json")
	}
	if own := os.Getenv("XDG_CONFIG_HOME"); own != "" {
		add(own, "containers", "auth.json")
	} else if home != "" {
		add(home, ".config", "containers", "auth.json")
	}
	return paths
}

// inEnvironment is the variable that Docker takes for a file, if it is set.
const inEnvironment = "DOCKER_AUTH_CONFIG"

// runContainers is where Podman keeps logins if XDG_RUNTIME_DIR isn't set.
const runContainers = "/run/containers"

// Resolve implements authn.Keychain.
func (l *logins) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return l.ResolveContext(context.Background(), r)
}

// ResolveContext implements authn.ContextKeychain.
func (l *logins) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	f, err := l.find(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, p := range f.problems {
		l.warnOnce(p.text + "; going on without its logins")
	}
	return f.auth, nil
}

// resolveToPush is Resolve for a push: a file that can't be read is an error.
func (l *logins) resolveToPush(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	f, err := l.find(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, p := range f.problems {
		if p.broken {
			return nil, errors.New(p.text)
		}
	}
	return l.ResolveContext(ctx, r)
}

// explain says why there may be no login for r; empty: nothing is wrong.
func (l *logins) explain(r authn.Resource) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, p := range l.found[r.String()].problems {
		all = append(all, p.text)
	}
	return strings.Join(all, "; ")
}

func (l *logins) warnOnce(text string) {
	l.mu.Lock()
	if l.said == nil {
		l.said = map[string]bool{}
	}
	said := l.said[text]
	l.said[text] = true
	l.mu.Unlock()
	if !said {
		l.warn(text)
	}
}

func (l *logins) find(ctx context.Context, r authn.Resource) (found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.found[r.String()]; ok {
		return f, nil
	}
	f, err := l.search(ctx, r)
	if err != nil {
		return f, err
	}
	if config, err := f.auth.Authorization(); err == nil {
		l.learn(config.Password, config.Auth, config.IdentityToken, config.RegistryToken)
		if config.Password != "" {
			l.learn(config.Username + ":" + config.Password)
		}
	}
	if l.found == nil {
		l.found = map[string]found{}
	}
	l.found[r.String()] = f
	return f, nil
}

// search looks at all files, and then at GITHUB_TOKEN. mu is held.
func (l *logins) search(ctx context.Context, r authn.Resource) (f found, err error) {
	for _, path := range loginPaths() {
		file := l.file(path)
		if file == nil {
			continue
		}
		if file.problem != nil {
			f.problems = append(f.problems, *file.problem)
			continue
		}
		config, lacking := file.login(ctx, &l.helpers, r)
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		if lacking != nil {
			f.problems = append(f.problems, *lacking)
		}
		if config != (authn.AuthConfig{}) {
			f.auth = authn.FromConfig(config)
			f.problems = onlyBroken(f.problems)
			return f, nil
		}
	}
	f.auth, err = github.Keychain.Resolve(r)
	if f.auth != authn.Anonymous {
		f.problems = onlyBroken(f.problems)
	}
	return f, err
}

// onlyBroken is for where there is a login: a helper that isn't there is of no
// interest any more, but what is broken might have said something else.
func onlyBroken(all []problem) []problem {
	return slices.DeleteFunc(all, func(p problem) bool { return !p.broken })
}

// file reads a file of logins, once. mu is held.
func (l *logins) file(path string) *loginFile {
	if f, ok := l.files[path]; ok {
		return f
	}
	if l.files == nil {
		l.files = map[string]*loginFile{}
	}
	f := readLogins(path)
	l.files[path] = f
	return f
}

// readLogins returns nil if there is no such file.
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
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return broken("can't be read (%v), and may hold logins: make it a file that you can read, or remove it", err)
	case len(strings.TrimSpace(string(data))) == 0:
		return f
	}
	if err := json.Unmarshal(data, f); err != nil {
		// The decoder's own words may quote what it stands on.
		var at *json.SyntaxError
		var field *json.UnmarshalTypeError
		switch {
		case errors.As(err, &at) && at.Offset >= int64(len(data)):
			return broken("is cut off, no valid JSON: mend it, or remove it and log in again")
		case errors.As(err, &at):
			return broken("is no valid JSON (at byte %d): mend it, or remove it and log in again", at.Offset)
		case errors.As(err, &field) && field.Field != "":
			return broken("is not as `docker login` writes it (%s): mend it, or remove it and log in again", wording.Clip(field.Field))
		}
		return broken("is not as `docker login` writes it: mend it, or remove it and log in again")
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

// login is the file's for r; the zero value: it has none. A helper counts
// before what the file says itself, a path before what leads to it, and the
// registry last.
func (f *loginFile) login(ctx context.Context, h *helpers, r authn.Resource) (authn.AuthConfig, *problem) {
	host := hostName(r.RegistryStr())
	helper := f.CredsStore
	for _, key := range slices.Sorted(maps.Keys(f.CredHelpers)) {
		if loginKey(key) == host {
			helper = f.CredHelpers[key]
		}
	}
	var lacking *problem
	if helper != "" {
		config, why := h.get(ctx, helper, host)
		if config != (authn.AuthConfig{}) {
			return config, nil
		}
		if why != "" {
			lacking = &problem{text: fmt.Sprintf("%s names docker-credential-%s for %s: %s", f.path, wording.Clip(helper), host, why)}
		}
	}
	_, path, _ := strings.Cut(r.String(), "/")
	for key := strings.TrimSuffix(host+"/"+path, "/"); ; key = key[:strings.LastIndex(key, "/")] {
		for _, written := range slices.Sorted(maps.Keys(f.Auths)) {
			if loginKey(written) != key {
				continue
			}
			config, err := decodeLogin(f.Auths[written])
			if err != nil {
				return config, &problem{fmt.Sprintf("%s: the login for %s %v: log in again", f.path, wording.Clip(written), err), true}
			}
			if config != (authn.AuthConfig{}) {
				return config, nil
			}
		}
		if !strings.Contains(key, "/") {
			return authn.AuthConfig{}, lacking
		}
	}
}

// decodeLogin reads an entry of auths. One that is empty says that there is a
// login, but not here.
func decodeLogin(raw json.RawMessage) (authn.AuthConfig, error) {
	var entry struct{ Auth, Username, Password, IdentityToken, RegistryToken string }
	if json.Unmarshal(raw, &entry) != nil {
		return authn.AuthConfig{}, errors.New("is not as `docker login` writes it")
	}
	config := authn.AuthConfig{
		Username: entry.Username, Password: entry.Password,
		IdentityToken: entry.IdentityToken, RegistryToken: entry.RegistryToken,
	}
	if auth := strings.TrimRight(strings.TrimSpace(entry.Auth), "="); auth != "" {
		pair, err := base64.RawStdEncoding.DecodeString(auth)
		user, password, ok := strings.Cut(string(pair), ":")
		if err != nil || !ok || user == "" {
			return authn.AuthConfig{}, errors.New("is not base64 of USER:PASSWORD")
		}
		config.Username, config.Password = user, strings.Trim(password, "\x00")
	}
	if config.Password == "" && config.IdentityToken == "" && config.RegistryToken == "" {
		return authn.AuthConfig{}, nil
	}
	return config, nil
}

// loginKey is the key of a login as HOST[/PATH]: Docker writes some as URLs.
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
