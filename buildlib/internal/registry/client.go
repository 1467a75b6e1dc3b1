// Package registry talks to registries: one client for pulls and pushes, with
// its logins, limits and retries. It assembles nothing.
package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Options says how a Client behaves. Its zero value is usable.
type Options struct {
	// Insecure names hosts (host, for every port, or host:port) that may
	// speak plain HTTP; loopback addresses may without being named.
	Insecure []string
	// Jobs is how many blobs are uploaded at once, over all registries; 0
	// means 4. Other requests are bounded to four times as many.
	Jobs int
	// Patience is for how long after its first failure an operation (one
	// blob, manifest or tag) is tried again; 0 means two minutes.
	Patience time.Duration
	// Stall is how long a request may pass without a byte moving before it
	// counts as failed; 0 means 30 seconds.
	Stall time.Duration
	// Log is told what is tried again and why; nil: nobody is.
	Log func(format string, args ...any)
	// Wait is told that a registry is waited for and why: at the first
	// failure, and then every 30 seconds. Nil: nobody is.
	Wait func(text string)
	// Warn is told what is wrong and no error; nil: nobody is.
	Warn func(text string)
	// Keychain finds credentials; nil means those of REGISTRY_AUTH_FILE,
	// Docker and Podman, in this order, then GITHUB_TOKEN for ghcr.io.
	Keychain authn.Keychain
	// Transport sends the requests; nil means the usual one, with the
	// environment's proxies.
	Transport http.RoundTripper
}

// Client talks to registries for one run: one transport, one keychain, one
// bound on uploads. It is safe for use by several goroutines. Close it.
type Client struct {
	ctx  context.Context // of the run: lazy reads of bases outlive any one call
	o    Options
	wire *wire
	// logins are the Keychain, unless one was given.
	logins *logins

	mu       sync.Mutex
	sessions map[string]*session
	homes    map[place]name.Repository // where a blob is known to be
	turns    map[place]chan struct{}   // held by who uploads it
	down     sync.Map                  // registries that couldn't be logged in to, however long it was tried
}

// place is a blob in a registry, in whichever repository.
type place struct {
	registry string
	blob     v1.Hash
}

// NewClient returns a Client. ctx is that of the whole run: what Remote reads
// lazily ends with it.
func NewClient(ctx context.Context, o Options) *Client {
	if o.Jobs <= 0 {
		o.Jobs = 4
	}
	if o.Patience <= 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Wait == nil {
		o.Wait = func(string) {}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	c := &Client{
		ctx:      ctx,
		o:        o,
		sessions: map[string]*session{},
		homes:    map[place]name.Repository{},
		turns:    map[place]chan struct{}{},
	}
	c.wire = newWire(o, c.plain)
	if o.Keychain == nil {
		c.logins = &logins{learn: c.wire.secrets.learnAll, warn: o.Warn}
		c.o.Keychain = c.logins
	}
	return c
}

// Close frees the connections that are kept for further requests.
func (c *Client) Close() { c.wire.base.CloseIdleConnections() }

// Reference parses an image reference, allowing plain HTTP to the hosts that
// may speak it.
func (c *Client) Reference(s string) (name.Reference, error) {
	ref, err := name.ParseReference(s)
	if err != nil || !c.plain(ref.Context().RegistryStr()) {
		return ref, err
	}
	return name.ParseReference(s, name.Insecure)
}

// Repository parses the name of a repository, as Reference does.
func (c *Client) Repository(s string) (name.Repository, error) {
	repo, err := name.NewRepository(s)
	if err != nil || !c.plain(repo.RegistryStr()) {
		return repo, err
	}
	return name.NewRepository(s, name.Insecure)
}

// Remote returns the options with which ggcr's remote package pulls through
// this client's transport, which retries by itself.
func (c *Client) Remote() []remote.Option {
	return []remote.Option{
		remote.WithContext(c.ctx),
		remote.WithAuthFromKeychain(c.o.Keychain),
		remote.WithJobs(c.o.Jobs),
		remote.WithTransport(c.wire),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	}
}

// plain reports whether the host (host or host:port) may be spoken to in plain
// HTTP. "x.localhost" may not: what it resolves to is up to the resolver.
func (c *Client) plain(hostport string) bool {
	u := url.URL{Host: hostport}
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(c.o.Insecure, func(named string) bool {
		return strings.EqualFold(named, hostport) || strings.EqualFold(named, host)
	})
}

// session returns the session with repo, logged in.
func (c *Client) session(ctx context.Context, repo name.Repository) (*session, error) {
	c.mu.Lock()
	s, ok := c.sessions[repo.Name()]
	if !ok {
		s = &session{c: c, repo: repo, login: make(chan struct{}, 1)}
		c.sessions[repo.Name()] = s
	}
	c.mu.Unlock()
	return s, s.authorize(ctx)
}

// home returns a repository of the registry that is known to have the blob.
func (c *Client) home(at place) (name.Repository, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	repo, ok := c.homes[at]
	return repo, ok
}

func (c *Client) setHome(at place, repo name.Repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.homes[at]; !ok {
		c.homes[at] = repo
	}
}

// turn waits for the right to upload a blob to a registry, so that the second
// repository to want it mounts what the first has uploaded. done gives the
// right back.
func (c *Client) turn(ctx context.Context, at place) (done func(), err error) {
	c.mu.Lock()
	turn, ok := c.turns[at]
	if !ok {
		turn = make(chan struct{}, 1)
		c.turns[at] = turn
	}
	c.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Written returns a repository's name as people write it: docker.io/acme/x,
// where ggcr says index.docker.io/acme/x.
func Written(repo name.Repository) string {
	return writtenHost(repo.Registry) + "/" + repo.RepositoryStr()
}

func writtenHost(r name.Registry) string {
	if r.RegistryStr() == name.DefaultRegistry {
		return "docker.io"
	}
	return r.RegistryStr()
}

// credentials finds out how to log in to repo, to push.
func (c *Client) credentials(ctx context.Context, repo name.Repository) (auth authn.Authenticator, err error) {
	if c.logins != nil {
		auth, err = c.logins.resolveToPush(ctx, repo)
	} else {
		auth, err = authn.Resolve(ctx, c.o.Keychain, repo)
	}
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", writtenHost(repo.Registry), err)
	}
	return auth, nil
}

// LoginProblem says what is wrong with the logins here, if there may be one for
// the repository that could not be had; else it is empty.
func (c *Client) LoginProblem(repo name.Repository) string {
	if c.logins == nil {
		return ""
	}
	return c.logins.explain(repo)
}

var _ http.RoundTripper = (*wire)(nil)
