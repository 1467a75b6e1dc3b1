package publish

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// secrets are the credentials that went out with requests, so that they can be
// kept out of what is said of the answers: a registry, or a proxy before it,
// may show a request that it refuses. The zero value knows none.
type secrets struct {
	mu    sync.RWMutex
	known map[string]bool
	forms []string          // of every known one, as it may be written; the longest first
	clean *strings.Replacer // of forms
}

// shortestSecret is how long what is hidden must at least be: a shorter word
// is in many texts, and its absence would tell it.
const shortestSecret = 4

// learn takes the credentials from a request: the Authorization header (RFC
// 9110, section 11.6.2), and the form that asks a token server for a token
// (distribution spec, "OAuth2 Token Authentication").
func (s *secrets) learn(req *http.Request) {
	if _, value, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		if !s.add(value) {
			return
		}
		if pair, err := base64.StdEncoding.DecodeString(value); err == nil {
			if _, password, ok := strings.Cut(string(pair), ":"); ok {
				s.add(string(pair))
				s.add(password)
			}
		}
	}
	if req.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || req.GetBody == nil {
		return
	}
	body, err := req.GetBody()
	if err != nil {
		return
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, 64<<10))
	if err != nil {
		return
	}
	form, _ := url.ParseQuery(string(data))
	for _, field := range []string{"refresh_token", "password"} {
		s.add(form.Get(field))
	}
}

// add remembers a secret, and reports whether it is a new one.
func (s *secrets) add(secret string) bool {
	if len(secret) < shortestSecret {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[secret] {
		return false
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[secret] = true
	quoted, _ := json.Marshal(secret)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(secret)
	s.forms = append(s.forms, secret,
		strings.Trim(string(quoted), `"`), strings.Trim(plain.String(), "\"\n"),
		url.QueryEscape(secret), url.PathEscape(secret),
		// Without padding, which may be there or not.
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)))
	slices.SortStableFunc(s.forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range s.forms {
		pairs = append(pairs, form, "***")
	}
	s.clean = strings.NewReplacer(pairs...)
	return true
}

// scrub returns the text with every known secret hidden.
func (s *secrets) scrub(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.clean == nil {
		return text
	}
	return s.clean.Replace(text)
}

// scrubBody is scrub for a body of any type. In JSON a secret may be spelt in
// many ways, so there it is looked for in what the strings mean.
func (s *secrets) scrubBody(body []byte) string {
	s.mu.RLock()
	none := s.clean == nil
	s.mu.RUnlock()
	if none {
		return string(body)
	}
	var document any
	if json.Unmarshal(body, &document) != nil {
		return s.scrub(string(body))
	}
	clean, err := json.Marshal(s.scrubJSON(document))
	if err != nil {
		return ""
	}
	return string(clean)
}

func (s *secrets) scrubJSON(document any) any {
	switch d := document.(type) {
	case string:
		return s.scrub(d)
	case []any:
		for i := range d {
			d[i] = s.scrubJSON(d[i])
		}
	case map[string]any:
		clean := map[string]any{}
		for key, value := range d {
			clean[s.scrub(key)] = s.scrubJSON(value)
		}
		return clean
	}
	return document
}

// refusal is how much of an error's text is read; ggcr reads no more.
const refusal = 64 << 10

// scrubbed is the body of an answer that is an error, without the secrets.
// Nobody needs it as the registry sent it.
type scrubbed struct {
	io.ReadCloser
	secrets *secrets
	text    *strings.Reader // nil: not read yet
	err     error
}

func (b *scrubbed) Read(p []byte) (int, error) {
	if b.text == nil {
		data, err := io.ReadAll(io.LimitReader(b.ReadCloser, refusal))
		b.text, b.err = strings.NewReader(b.secrets.scrubBody(data)), err
	}
	if b.text.Len() == 0 && b.err != nil {
		return 0, b.err
	}
	return b.text.Read(p)
}
