package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// failure is an error told to people. Its text names the repository, the
// operation and the fix, and leaves out what requests carry in their address:
// the queries of upload locations and token servers may hold secrets. The
// cause stays for errors.As.
type failure struct {
	text  string
	cause error
}

// Scrub hides credentials in a text for people: those that went out with
// requests or might have, however the text writes them, and what URLs hold.
func (c *Client) Scrub(text string) string { return c.wire.secrets.scrub(text) }

// Clean is Scrub for an error; what it wraps is as it was. The stages that use a
// client return nothing else.
func (c *Client) Clean(err error) error {
	if err == nil {
		return nil
	}
	if text := c.Scrub(err.Error()); text != err.Error() {
		return &failure{text, err}
	}
	return err
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// failed tells that the operation t failed with err for good.
func (s *session) failed(t *trial, err error) error {
	if known := (*failure)(nil); errors.As(err, &known) {
		return err // what ended this operation was the failure of another
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", t.what, err)
	}
	parts := []string{t.what}
	if effort := t.effort(); effort != "" {
		parts = append(parts, effort)
	}
	if host := hostOf(err); host != "" && host != s.repo.RegistryStr() {
		parts = append(parts, host) // where the registry sent the request
	}
	parts = append(parts, brief(err))
	if fix := s.c.fix(s.repo, err); fix != "" {
		parts = append(parts, fix)
	}
	return &failure{t.w.secrets.scrub(strings.Join(parts, ": ")), err}
}

// again waits before t tries again what failed with err, and returns nil; or
// err, if t doesn't.
func (t *trial) again(ctx context.Context, err error) error {
	if t.wait(ctx, t.host(err), "", brief(err), 0) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w (%s)", err, t.effort())
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// fix says what to do about err, if that is known.
func (c *Client) fix(repo name.Repository, err error) string {
	var plain *plainError
	if errors.As(err, &plain) {
		return "" // says so itself
	}
	host := writtenHost(repo.Registry)
	if repo.Scheme() == "https" && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Sprintf("%s speaks plain HTTP: add %q to Insecure if it is to be trusted", host, host)
	}
	if untrusted(err) {
		return "have this machine trust who signed that certificate (SSL_CERT_FILE names a file of such)"
	}
	var terr *transport.Error
	if !errors.As(err, &terr) || redirected(terr) {
		return ""
	}
	login := fmt.Sprintf("`docker login %s`", host)
	switch host {
	case "docker.io":
		login = "`docker login`"
	case "ghcr.io":
		login += ", or GITHUB_TOKEN with `permissions: packages: write` in a workflow"
	}
	login = "run " + login
	if problem := c.LoginProblem(repo); problem != "" {
		login = problem
	}
	switch {
	case terr.StatusCode == http.StatusUnauthorized:
		return fmt.Sprintf("no valid login for %s: %s", host, login)
	case terr.StatusCode == http.StatusForbidden || has(terr, transport.DeniedErrorCode):
		return fmt.Sprintf("no push permission to %s: ask its owner for it, or log in as someone who has it: %s", Written(repo), strings.TrimPrefix(login, "run "))
	case terr.StatusCode == http.StatusMethodNotAllowed || has(terr, transport.UnsupportedErrorCode):
		return fmt.Sprintf("%s does not accept pushes: it is read-only or a pull-through cache; push to another registry", host)
	case has(terr, transport.NameUnknownErrorCode):
		return fmt.Sprintf("create the repository %s first", repo.RepositoryStr())
	case terr.StatusCode == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("raise the limit of the proxy in front of %s (nginx: client_max_body_size 0)", host)
	case terr.StatusCode == http.StatusConflict || terr.StatusCode == http.StatusPreconditionFailed || has(terr, transport.TagInvalidErrorCode):
		return "the tag exists and may not be moved: publish under a new tag, or allow moving it"
	}
	return ""
}

// redirected reports whether the registry sent the request to another host,
// whose answers mean something else.
func redirected(terr *transport.Error) bool {
	if terr.Request == nil {
		return false
	}
	from, redirects := first(terr.Request)
	return redirects > 0 && from.URL.Host != terr.Request.URL.Host
}
