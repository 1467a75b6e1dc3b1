package registry

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Options says how a Client behaves. Its zero value is usable.
type Options struct {
	// Insecure names hosts (host, for every port, or host:port) that may
	// speak plain HTTP; loopback addresses may without being named.
	Insecure []string
	// Jobs is how many blobs are uploaded at once, over all registries; 0
	// means 4. Of other requests, four times as many may run.
	Jobs int
	// Patience is how long after its first failure an operation (one blob,
	// manifest or tag) is tried again; 0 means two minutes.
	Patience time.Duration
	// Stall is how long a request may go without progress before it
	// counts as failed; 0 means 30 seconds.
	Stall time.Duration
	// Log is called for each retry, with the reason; it may be nil.
	Log func(format string, args ...any)
	// Wait is called while a registry is waited for, with the reason: at the
	// first failure, and then every 30 seconds. It may be nil.
	Wait func(text string)
	// Warn is called with problems that aren't errors; it may be nil.
	Warn func(text string)
	// Keychain finds credentials; nil means those of REGISTRY_AUTH_FILE,
	// Docker and Podman, in this order, then GITHUB_TOKEN for ghcr.io.
	Keychain authn.Keychain
	// Transport sends the requests; nil means the usual one, with the
	// environment's proxies.
	Transport http.RoundTripper
}

// filled returns the options with every default filled in but the keychain's.
func (o Options) filled() Options {
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
	return o
}

// plain reports whether plain HTTP is allowed to the host (host or host:port). To
// "x.localhost" it isn't: what that resolves to is up to the resolver.
func (o Options) plain(hostport string) bool {
	u := url.URL{Host: hostport}
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(o.Insecure, func(named string) bool {
		return strings.EqualFold(named, hostport) || strings.EqualFold(named, host)
	})
}
