// Package registry talks to registries: one client for pulls and pushes, with
// its logins, limits and retries. It assembles nothing.
//
// A Client publishes an index (Publish; or PushImages on several machines, and
// then Join), and pulls and pushes other content by digest: Manifest, Blob,
// Referrers and Push. Other packages pull through go-containerregistry, with the
// options that Remote returns. All of that is retried, resumed and limited alike.
//
// Its files, each of which knows only those before it:
//
//   - options, secrets (what is hidden), fault (what is transient, and what
//     errors say), limits, patience (operations that take several tries)
//   - requests: stall, transport (one try), retry, resume, ping, roundtrip
//   - the client: helper, loginfile, logins, failure (what to do about errors),
//     client
//   - repositories: repository (requests), upload, artifact, tag, attach,
//     publication, join
package registry

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Client talks to registries for one run: one transport, one keychain, one limit
// on uploads. It is safe for use by several goroutines. Close it.
type Client struct {
	*explainer
	ctx  context.Context // of the run: lazy reads of bases outlive any one call
	o    Options
	wire *wire

	sessions sync.Map // by repository and scope, *session
	homes    sync.Map // by registry and blob, a name.Repository that has it
	down     sync.Map // registries to which the login failed until patience ran out
}

// NewClient returns a Client. ctx is that of the whole run: what Remote reads
// lazily ends with it.
func NewClient(ctx context.Context, o Options) *Client {
	o = o.filled()
	c := &Client{ctx: ctx, o: o}
	c.wire = newWire(o)
	c.explainer = &explainer{secrets: &c.wire.secrets}
	if o.Keychain == nil {
		c.logins = newLogins(c.wire.secrets.add, o.Warn)
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
	if err != nil || !c.o.plain(ref.Context().RegistryStr()) {
		return ref, err
	}
	return name.ParseReference(s, name.Insecure)
}

// Repository parses the name of a repository, as Reference does.
func (c *Client) Repository(s string) (name.Repository, error) {
	repo, err := name.NewRepository(s)
	if err != nil || !c.o.plain(repo.RegistryStr()) {
		return repo, err
	}
	return name.NewRepository(s, name.Insecure)
}

// Remote returns the options with which ggcr's remote package pulls through
// this client's transport, which retries by itself.
func (c *Client) Remote() []remote.Option {
	return append([]remote.Option{
		remote.WithContext(c.ctx),
		remote.WithAuthFromKeychain(c.o.Keychain),
		remote.WithJobs(c.o.Jobs),
		remote.WithTransport(c.wire),
	}, tryOnce...)
}

// tryOnce keeps ggcr from retrying.
var tryOnce = []remote.Option{
	remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	remote.WithRetryPredicate(func(error) bool { return false }),
	remote.WithRetryStatusCodes(),
}

// Scrub hides credentials in a text for people: those that were sent with requests,
// or were about to be, in any encoding, and what URLs hold.
func (c *Client) Scrub(text string) string { return c.wire.secrets.scrub(text) }

// Clean is Scrub for an error, which still wraps what it did. Stages that use a
// client pass all their errors through it.
func (c *Client) Clean(err error) error {
	if err == nil {
		return nil
	}
	if text := c.Scrub(err.Error()); text != err.Error() {
		return &failure{text, err}
	}
	return err
}

// session is a repository that the client is logged in to.
type session struct {
	*Client
	repo  name.Repository
	scope string // transport.PullScope or PushScope

	mu     sync.Mutex
	over   http.RoundTripper // nil: not logged in
	scopes []string
}

// session returns the session with repo, logged in for the scope.
func (c *Client) session(ctx context.Context, repo name.Repository, scope string) (*session, error) {
	s, _ := c.sessions.LoadOrStore(repo.Scope(scope)+repo.RegistryStr(), &session{Client: c, repo: repo, scope: scope})
	return s.(*session), s.(*session).logIn(ctx)
}

// logIn logs in to the repository, and for pulling from those in more, unless it
// already has.
func (s *session) logIn(ctx context.Context, more ...name.Repository) error {
	done, err := s.wire.turns.take(ctx, "log in "+s.repo.Name()+s.scope)
	if err != nil {
		return err
	}
	defer done()
	scopes := []string{s.repo.Scope(s.scope)} // first: some registries ignore the others
	s.mu.Lock()
	known := s.over != nil
	if known {
		scopes = slices.Clone(s.scopes)
	}
	s.mu.Unlock()
	for _, repo := range more {
		if scope := repo.Scope(transport.PullScope); !slices.Contains(scopes, scope) {
			scopes, known = append(scopes, scope), false
		}
	}
	if known {
		return nil
	}
	op := s.operation("log in")
	// Or each of many images would wait again for a registry that is down.
	_, op.once = s.down.Load(op.registry)
	var over http.RoundTripper
	err = op.do(ctx, func(ctx context.Context) error {
		auth, err := s.credentials(ctx)
		if err != nil {
			return err
		}
		over, err = transport.NewWithContext(ctx, s.repo.Registry, auth, s.wire, scopes)
		return err
	})
	if err != nil {
		if op.isOver() {
			s.down.Store(op.registry, true)
		}
		return s.failed(s.repo, op, err)
	}
	s.down.Delete(op.registry)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.scopes = over, scopes
	return nil
}

// credentials returns the login. A pull goes on without one that can't be read.
func (s *session) credentials(ctx context.Context) (auth authn.Authenticator, err error) {
	if s.logins != nil && s.scope == transport.PushScope {
		auth, err = s.logins.resolve(ctx, s.repo, true)
	} else {
		auth, err = authn.Resolve(ctx, s.o.Keychain, s.repo)
	}
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", hostName(s.repo.RegistryStr()), err)
	}
	return auth, nil
}

// operation returns a new operation on the repository.
func (s *session) operation(what string) *operation {
	registry := s.repo.RegistryStr()
	return &operation{
		patience: s.wire.patience, what: displayName(s.repo) + ": " + what,
		registry: registry, plain: s.o.plain(registry), pull: s.scope == transport.PullScope,
	}
}

// try runs f as an operation. Its error names the operation.
func (s *session) try(ctx context.Context, what string, f func(context.Context) error) error {
	op := s.operation(what)
	return s.failed(s.repo, op, op.do(ctx, f))
}
