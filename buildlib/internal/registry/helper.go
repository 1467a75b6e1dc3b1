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

// helpers asks credential helpers for logins (docker-credential-helpers,
// "Development"), each once for a registry. Its zero value has asked none.
type helpers struct {
	asked map[string]helped // by helper and host
}

type helped struct {
	config authn.AuthConfig
	why    string // there is none; empty: it has none
}

const (
	// helperTime is for how long a helper is waited for: it may ask its user.
	helperTime = 2 * time.Minute
	// helperLimit bounds what a helper may say.
	helperLimit = 64 << 10
)

// get returns the helper's login for the host, or why there is none. What a
// helper says is never shown: it is mostly a secret.
func (h *helpers) get(ctx context.Context, helper, host string) (authn.AuthConfig, string) {
	key := helper + " " + host
	if got, ok := h.asked[key]; ok {
		return got.config, got.why
	}
	var got helped
	got.config, got.why = ask(ctx, helper, host)
	if ctx.Err() == nil {
		if h.asked == nil {
			h.asked = map[string]helped{}
		}
		h.asked[key] = got
	}
	return got.config, got.why
}

func ask(ctx context.Context, helper, host string) (authn.AuthConfig, string) {
	none := authn.AuthConfig{}
	if strings.ContainsAny(helper, `/\`) {
		return none, "that is a path, and not the name of a helper"
	}
	program := "docker-credential-" + helper
	if _, err := exec.LookPath(program); err != nil {
		return none, "it is not installed: install it, or remove it from that file and run docker login " + host
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
		return none, "it gave no answer in " + helperTime.String()
	case err != nil && strings.TrimSpace(string(out.data)) == "credentials not found in native keychain":
		return none, ""
	case err != nil:
		return none, "it fails (" + err.Error() + ")" + look
	}
	var answer struct{ Username, Secret string }
	if json.Unmarshal(out.data, &answer) != nil {
		return none, "its answer is no login" + look
	}
	switch {
	case answer.Secret == "":
		return none, ""
	case answer.Username == "<token>":
		return authn.AuthConfig{IdentityToken: answer.Secret}, ""
	}
	return authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, ""
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
