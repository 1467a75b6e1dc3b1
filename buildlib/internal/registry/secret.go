package registry

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// secrets are the credentials that went out with requests, so that they can be
// kept out of what is said of the answers: a registry, or a proxy before it,
// may show a request that it refuses. The zero value knows none.
type secrets struct {
	mu     sync.Mutex
	forms  map[string]bool // of every known one, as it may be written, in ASCII's lower case
	sorted []string        // of forms, the longest first; nil: not yet
}

// shortestSecret is how long what is hidden must at least be: a shorter word
// is in many texts, and its absence would tell it.
const shortestSecret = 4

// learn takes the credentials from a request: the Authorization header (RFC
// 9110, section 11.6.2), the form that asks a token server for a token
// (distribution spec, "OAuth2 Token Authentication"), and what a registry put
// into the address that it sent the request to.
func (s *secrets) learn(req *http.Request) {
	for _, header := range []string{"Authorization", "Proxy-Authorization"} {
		_, value, ok := strings.Cut(req.Header.Get(header), " ")
		if !ok || !s.add(value) {
			continue
		}
		if pair, err := base64.StdEncoding.DecodeString(value); err == nil {
			if _, password, ok := strings.Cut(string(pair), ":"); ok {
				s.add(string(pair))
				s.add(password)
			}
		}
	}
	if req.URL.RawQuery != "" {
		for key, values := range req.URL.Query() {
			for _, value := range values {
				if len(value) >= shortestParameter && !slices.Contains(plainParameters, strings.ToLower(key)) {
					s.remember(value, url.QueryEscape(value))
				}
			}
		}
	}
	if password, ok := req.URL.User.Password(); ok {
		s.add(password)
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

// shortestParameter is how long a value in an address must be to be a secret.
const shortestParameter = 8

// plainParameters are those of an address's query that hold no secret: the
// distribution spec's, a token server's, and what signed addresses say of
// themselves.
var plainParameters = []string{
	"digest", "mount", "from", "n", "last", "scope", "service", "account", "client_id", "offline_token", "grant_type",
	"x-amz-algorithm", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "response-content-type", "response-content-disposition",
	"x-goog-algorithm", "x-goog-date", "x-goog-expires", "x-goog-signedheaders", "expires", "se", "sp", "sr", "sv", "spr", "st", "ns",
}

// learnAll takes credentials before they go out. Empty ones are none.
func (s *secrets) learnAll(all ...string) {
	for _, secret := range all {
		s.add(secret)
	}
}

// add remembers a secret, and reports whether it is a new one.
func (s *secrets) add(secret string) bool {
	if len(secret) < shortestSecret || !s.remember(secret) {
		return false
	}
	quoted, _ := json.Marshal(secret)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(secret)
	s.remember(
		strings.Trim(string(quoted), `"`), strings.Trim(plain.String(), "\"\n"), strings.Trim(strconv.Quote(secret), `"`),
		url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
		strings.Join(strings.Fields(secret), " "), // as clip leaves it
		// Without padding, which may be there or not.
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)))
	return true
}

// remember reports whether a form is a new one.
func (s *secrets) remember(forms ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := false
	for _, form := range forms {
		if form = lower(form); len(form) < shortestSecret || s.forms[form] {
			continue
		}
		if s.forms == nil {
			s.forms = map[string]bool{}
		}
		s.forms[form], s.sorted, fresh = true, nil, true
	}
	return fresh
}

// all returns the forms, the longest first: a shorter one may be a part of it.
func (s *secrets) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted == nil {
		s.sorted = slices.Collect(maps.Keys(s.forms))
		slices.SortFunc(s.sorted, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	}
	return s.sorted
}

// lower is ASCII's lower case: other letters' may have another length. Names of
// hosts are told in it, and digits of an encoding in either.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

const hidden = "***"

// What a URL holds besides a place: a password, and a query that may sign it.
var (
	userInURL  = regexp.MustCompile(`(://)[^\s/?#@"'<>]+@`)
	queryInURL = regexp.MustCompile(`(://[^\s?#"'<>]*\?)[^\s"'<>]{12,}`)
)

// scrub returns the text with every known secret hidden, and what is left of
// one that was cut off, and passwords and queries of URLs.
func (s *secrets) scrub(text string) string {
	if strings.Contains(text, "://") {
		text = userInURL.ReplaceAllString(text, "${1}"+hidden+"@")
		text = queryInURL.ReplaceAllString(text, "${1}"+hidden)
	}
	low := lower(text)
	for _, form := range s.all() {
		if !strings.Contains(low, form[:shortestSecret]) {
			continue
		}
		text = hide(text, low, form)
		low = lower(text)
	}
	return text
}

// hide hides form in text, of which low is the lower case, and then what is left
// of it before "...".
func hide(text, low, form string) string {
	var b strings.Builder
	for {
		at := strings.Index(low, form)
		if at < 0 {
			break
		}
		b.WriteString(text[:at] + hidden)
		text, low = text[at+len(form):], low[at+len(form):]
	}
	text = b.String() + text
	b.Reset()
	low = lower(text)
	for {
		at := strings.Index(low, form[:shortestSecret])
		if at < 0 {
			return b.String() + text
		}
		end := at + shortestSecret
		for n := shortestSecret; n < len(form) && end < len(low) && low[end] == form[n]; n++ {
			end++
		}
		b.WriteString(text[:at])
		if strings.HasPrefix(low[end:], "...") || strings.HasPrefix(low[end:], "…") {
			b.WriteString(hidden)
		} else {
			b.WriteString(text[at:end])
		}
		text, low = text[end:], low[end:]
	}
}

// scrubBody is scrub for a body of any type. In JSON a secret may be spelt in
// many ways, so there it is looked for in what the strings mean.
func (s *secrets) scrubBody(body []byte) string {
	if len(s.all()) == 0 {
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
