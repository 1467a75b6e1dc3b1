package registry

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// helperAnswer is what a credential helper answered.
type helperAnswer struct {
	login   authn.AuthConfig
	problem string // why there is no login; empty: the helper has none
}

const (
	// helperTime is how long a helper may take: it may ask its user.
	helperTime = 2 * time.Minute
	// helperLimit is how many bytes a helper may print.
	helperLimit = 64 << 10
)

// askHelper asks a credential helper for its login for the host
// (docker-credential-helpers, "Development"). What a helper prints is never
// shown: most of it is a secret.
func askHelper(ctx context.Context, helper, host string) helperAnswer {
	problem := func(text string) helperAnswer { return helperAnswer{problem: text} }
	if strings.ContainsAny(helper, `/\`) {
		return problem("that is a path, and not the name of a helper")
	}
	program := "docker-credential-" + helper
	if _, err := exec.LookPath(program); err != nil {
		return problem("it is not installed: install it, or remove it from that file and run docker login " + host)
	}
	if host == "docker.io" {
		host = authn.DefaultAuthKey
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	cmd := process.Command(ctx, program, "get")
	cmd.Stdin = strings.NewReader(host)
	var out limited
	cmd.Stdout = &out
	err := cmd.Run()
	look := ": `echo " + host + " | " + program + " get` shows why"
	switch {
	case ctx.Err() != nil:
		return problem("it gave no answer within " + helperTime.String())
	case err != nil && strings.TrimSpace(string(out.data)) == "credentials not found in native keychain":
		return helperAnswer{}
	case err != nil:
		return problem("it fails (" + err.Error() + ")" + look)
	}
	var answer struct{ Username, Secret string }
	if json.Unmarshal(out.data, &answer) != nil {
		return problem("its answer is not a login" + look)
	}
	switch {
	case answer.Secret == "":
		return helperAnswer{}
	case answer.Username == "<token>":
		return helperAnswer{login: authn.AuthConfig{IdentityToken: answer.Secret}}
	}
	return helperAnswer{login: authn.AuthConfig{Username: answer.Username, Password: answer.Secret}}
}

// limited keeps what is written to it, up to helperLimit.
type limited struct{ data []byte }

func (l *limited) Write(p []byte) (int, error) {
	if len(l.data)+len(p) > helperLimit {
		return 0, errors.New("too long an answer")
	}
	l.data = append(l.data, p...)
	return len(p), nil
}
