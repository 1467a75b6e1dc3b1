package git

import (
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	const want = "https://github.com/acme/router"
	for _, tt := range []struct{ remote, want string }{
		{"https://github.com/acme/router", want},
		{"https://github.com/acme/router.git", want},
		{"https://github.com/acme/router/", want},
		{"http://github.com/acme/router.git", want},
		{"git://github.com/acme/router.git", want},
		{"git@github.com:acme/router.git", want},
		{"github.com:acme/router.git", want},
		{"ssh://git@github.com/acme/router.git", want},
		{"ssh://git@github.com:22/acme/router", want}, // ssh's port is not that of https
		{"git+ssh://git@github.com/acme/router.git", want},
		{"https://git.example.com:8443/acme/router.git", "https://git.example.com:8443/acme/router"},
		{"https://gitlab.com/acme/deep/er/router.git", "https://gitlab.com/acme/deep/er/router"},

		// Credentials
		{"https://x-access-token:ghs_SECRET@github.com/acme/router.git", want},
		{"https://SECRET@github.com/acme/router", want},
		{"https://github.com/acme/router.git?token=SECRET#SECRET", want},
		{"https://user:SE%CRET@github.com/acme/router.git", ""}, // no URL at all
		{"ssh://git:SECRET@github.com/acme/router.git", want},
		{"user:SECRET@github.com:acme/router.git", ""}, // git takes user for the host

		// This machine's paths
		{"/home/me/router", ""},
		{"/home/me/router.git", ""},
		{"file:///home/me/router.git", ""},
		{"../router", ""},
		{"./router.git", ""},
		{"~/router", ""},
		{"router", ""},
		{"./host:router", ""},
		{`C:\Users\me\router`, ""},
		{"C:/Users/me/router", ""},
		{`\\server\share\router`, ""},

		// Helpers run commands, and name no place for people.
		{"ext::sh -c cat%S/secret", ""},
		{"codecommit::eu-west-1://router", ""},
		{"https://github.com", ""},
		{"https://github.com/", ""},
		{"", ""},
	} {
		if got := source(tt.remote); got != tt.want {
			t.Errorf("source(%q) = %q, want %q", tt.remote, got, tt.want)
		}
	}
}

func FuzzSource(f *testing.F) {
	for _, seed := range []string{"https://a:b@c/d.git", "git@h:p", "ssh://u@h:1/p", "/p", "ext::x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		if got := source("https://user:SECRET@example.com/" + remote); got != "" && !strings.HasPrefix(got, "https://example.com/") {
			t.Errorf("source of a remote at example.com ending in %q: %q", remote, got)
		}
		source(remote)
	})
}
