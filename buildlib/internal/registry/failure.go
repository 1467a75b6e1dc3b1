package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// explainer says why operations failed, and what to do about it.
type explainer struct {
	secrets *secrets
	logins  *logins // nil: a keychain was given
}

// LoginProblem says what is wrong with the logins of this machine, if the one for
// the repository may be missing for that reason; else it is empty.
func (x *explainer) LoginProblem(repo name.Repository) string {
	if x.logins == nil {
		return ""
	}
	return x.logins.explain(repo)
}

// failed returns the error of the operation on repo, which has failed for good with
// err. It is nil if err is.
func (x *explainer) failed(repo name.Repository, op *operation, err error) error {
	if err == nil || isFailure(err) {
		return err // of another operation, which this one needs
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op.what, err)
	}
	parts := []string{op.what}
	if effort := op.effort(); effort != "" {
		parts = append(parts, effort)
	}
	if host := hostOf(err); host != "" && host != repo.RegistryStr() {
		parts = append(parts, host) // to which the registry redirected
	}
	parts = append(parts, reason(err))
	if fix := x.fix(repo, op, err); fix != "" {
		parts = append(parts, fix)
	}
	return &failure{x.secrets.scrub(strings.Join(parts, ": ")), err}
}

// fix says what to do about err, if that is known.
func (x *explainer) fix(repo name.Repository, op *operation, err error) string {
	if _, ok := errors.AsType[*plainError](err); ok {
		return "" // the error says it
	}
	host := hostName(repo.RegistryStr())
	if repo.Scheme() == "https" && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Sprintf("%s speaks plain HTTP: add %q to Insecure if you trust it", host, host)
	}
	if untrusted(err) {
		return "make this machine trust the authority that signed the certificate (SSL_CERT_FILE names a file with its certificate)"
	}
	terr, ok := errors.AsType[*transport.Error](err)
	if !ok || redirected(terr) {
		return ""
	}
	login := fmt.Sprintf("`docker login %s`", host)
	switch host {
	case "docker.io":
		login = "`docker login`"
	case "ghcr.io":
		login += ", or set GITHUB_TOKEN with `permissions: packages: write` in a workflow"
	}
	login = "run " + login
	if problem := x.LoginProblem(repo); problem != "" {
		login = problem
	}
	switch {
	case terr.StatusCode == http.StatusUnauthorized:
		return fmt.Sprintf("no valid login for %s: %s", host, login)
	case terr.StatusCode == http.StatusForbidden || has(terr, transport.DeniedErrorCode):
		permission := "push permission to"
		if op.pull {
			permission = "permission to pull from"
		}
		return fmt.Sprintf("no %s %s: ask its owner for it, or log in as someone who has it: %s", permission, displayName(repo), strings.TrimPrefix(login, "run "))
	case op.pull:
		return ""
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

// redirected reports whether the answer is that of another host, to which the
// registry redirected: its status means something else.
func redirected(terr *transport.Error) bool {
	if terr.Request == nil {
		return false
	}
	from, redirects := original(terr.Request)
	return redirects > 0 && from.URL.Host != terr.Request.URL.Host
}

// displayName is a repository's name as people write it: docker.io/acme/x, where
// ggcr says index.docker.io/acme/x.
func displayName(repo name.Repository) string {
	return hostName(repo.RegistryStr()) + "/" + repo.RepositoryStr()
}
