package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"

	"github.com/multimage/multimage/buildlib/internal/wording"
)

// logins finds credentials where `docker login`, `podman login` and credential
// helpers keep them. It looks in all of these places: ggcr's own keychain looks at
// Podman's file only if there is none of Docker's. It is an authn.Keychain for
// pulls, which go on without a login that can't be read.
type logins struct {
	learn func(secret string) bool
	warn  func(text string)

	mu      sync.Mutex
	files   map[string]*loginFile   // by path; nil: there is none
	helpers map[string]helperAnswer // by helper and host
	found   map[string]found        // by repository
	warned  map[string]bool         // by text
}

func newLogins(learn func(secret string) bool, warn func(text string)) *logins {
	return &logins{
		learn: learn, warn: warn,
		files: map[string]*loginFile{}, helpers: map[string]helperAnswer{}, found: map[string]found{}, warned: map[string]bool{},
	}
}

// found is what there is for a repository.
type found struct {
	auth     authn.Authenticator
	problems []problem // in the places before
}

// Resolve implements authn.Keychain.
func (l *logins) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return l.ResolveContext(context.Background(), r)
}

// ResolveContext implements authn.ContextKeychain.
func (l *logins) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	return l.resolve(ctx, r, false)
}

// resolve finds the login for r. A file that can't be read is an error for a push,
// and otherwise a warning, once.
func (l *logins) resolve(ctx context.Context, r authn.Resource, push bool) (authn.Authenticator, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.find(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, p := range f.problems {
		if push && p.broken {
			return nil, errors.New(p.text)
		}
	}
	for _, p := range f.problems {
		if !l.warned[p.text] {
			l.warned[p.text] = true
			l.warn(p.text + "; continuing without its logins")
		}
	}
	return f.auth, nil
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

// find looks at all files, and then at GITHUB_TOKEN, once for each r. mu is held.
func (l *logins) find(ctx context.Context, r authn.Resource) (f found, err error) {
	if f, ok := l.found[r.String()]; ok {
		return f, nil
	}
	for _, path := range loginPaths() {
		file, ok := l.files[path]
		if !ok {
			file = readLogins(path)
			l.files[path] = file
		}
		if file == nil {
			continue
		}
		config, lacking := l.login(ctx, file, r)
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		if lacking != nil {
			f.problems = append(f.problems, *lacking)
		}
		if config != (authn.AuthConfig{}) {
			f.auth = authn.FromConfig(config)
			break
		}
	}
	if f.auth == nil {
		if f.auth, err = github.Keychain.Resolve(r); err != nil {
			return f, err
		}
	}
	if f.auth != authn.Anonymous {
		// A missing helper doesn't matter any more, but a broken file might have
		// had another login.
		f.problems = slices.DeleteFunc(f.problems, func(p problem) bool { return !p.broken })
	}
	if config, err := f.auth.Authorization(); err == nil {
		for _, secret := range []string{config.Password, config.Auth, config.IdentityToken, config.RegistryToken} {
			l.learn(secret)
		}
		if config.Password != "" {
			l.learn(config.Username + ":" + config.Password)
		}
	}
	l.found[r.String()] = f
	return f, nil
}

// login returns the file's login for r; zero: it has none. A helper comes before the
// file's own entries. Of these the longest path counts, and that of the registry
// last. mu is held.
func (l *logins) login(ctx context.Context, f *loginFile, r authn.Resource) (authn.AuthConfig, *problem) {
	if f.problem != nil {
		return authn.AuthConfig{}, f.problem
	}
	host := hostName(r.RegistryStr())
	helper := f.CredsStore
	for _, key := range slices.Sorted(maps.Keys(f.CredHelpers)) {
		if loginKey(key) == host {
			helper = f.CredHelpers[key]
		}
	}
	var lacking *problem
	if helper != "" {
		got, ok := l.helpers[helper+" "+host]
		if !ok {
			got = askHelper(ctx, helper, host)
			if ctx.Err() == nil {
				l.helpers[helper+" "+host] = got
			}
		}
		if got.login != (authn.AuthConfig{}) {
			return got.login, nil
		}
		if got.problem != "" {
			lacking = &problem{text: fmt.Sprintf("%s names docker-credential-%s for %s: %s", f.path, wording.Clip(helper), host, got.problem)}
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
