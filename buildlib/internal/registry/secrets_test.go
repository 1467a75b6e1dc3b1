package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// A registry that shows the request it refuses doesn't bring the credentials
// into errors or logs, however it writes them.
func TestSecretsAreScrubbed(t *testing.T) {
	const user, password = "me", `h<u>s"h/w+o rd`
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	asJSON, _ := json.Marshal(password)
	forms := []string{
		password, string(asJSON), strings.Trim(string(asJSON), `"`), url.QueryEscape(password), url.PathEscape(password),
		basic, base64.URLEncoding.EncodeToString([]byte(password)), base64.RawStdEncoding.EncodeToString([]byte(password)),
	}
	for _, form := range forms {
		for _, status := range []int{400, 403, 503} {
			echo := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(status)
				if status == 403 {
					message, _ := json.Marshal("you sent " + form + ", go away")
					fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%s}]}`, message)
					return
				}
				fmt.Fprintf(w, "you sent %s, go away", form)
			}
			var logged logf
			srv := newServer(t,
				&fault{"GET /v2/", 0, 1, answer(401, "WWW-Authenticate", "Basic realm=x")},
				&fault{"POST /blobs/", 0, 0, echo},
				&fault{"GET /manifests/", 0, 0, echo})
			c := client(t, Options{Patience: 1, Log: logged.log, Keychain: keychain{authn.AuthConfig{Username: user, Password: password}}})
			repo := repository(t, c, srv.host+"/a/b")
			_, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
			_, perr := remote.Get(repo.Tag("v1"), c.Remote()...)
			for _, err := range []error{err, perr} {
				if err == nil {
					t.Fatal("no error")
				}
				text := err.Error() + logged.String()
				for _, secret := range forms {
					if strings.Contains(text, secret) {
						t.Errorf("%d, showing %s: %s has %s", status, form, text, secret)
					}
				}
			}
			if status == 403 && !strings.Contains(err.Error(), "DENIED you sent ***") && !strings.Contains(err.Error(), `DENIED you sent "***"`) {
				t.Errorf("showing %s: the rest of the message is gone: %v", form, err)
			}
		}
	}
}

func TestSecretsLearn(t *testing.T) {
	var s secrets
	if got := s.scrub("as it was"); got != "as it was" {
		t.Errorf("no secrets: %q", got)
	}
	form := strings.NewReader(url.Values{"refresh_token": {"identity"}, "service": {"somewhere"}}.Encode())
	req, err := http.NewRequest(http.MethodPost, "http://localhost/token", form)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.learn(req)
	req.Header.Set("Authorization", "Bearer identity-extended")
	s.learn(req)
	s.learn(req)
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("me:abc")))
	s.learn(req)
	for text, want := range map[string]string{
		"identity at somewhere": "*** at somewhere",
		"(identity-extended)":   "(***)", // and not what is left of the shorter one
		"alphabet, abc":         "alphabet, abc",
	} {
		if got := s.scrub(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
