package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// secrets are the credentials that were sent with requests. They are hidden in errors
// and logs: a registry, or a proxy in front of it, may show the request that it
// refuses. The zero value has none.
type secrets struct {
	mu sync.Mutex
	// forms are the encodings of each secret, in ASCII's lower case, by their
	// first shortestSecret bytes, the longest first.
	forms map[string][]string
}

// shortestSecret is the least length of what is hidden: a shorter word is in many
// texts, and hiding it there would give it away.
const shortestSecret = 4

// learn adds the credentials of a request: those in the Authorization header (RFC
// 9110, section 11.6.2), in the form that asks a token server for a token
// (distribution spec, "OAuth2 Token Authentication"), and in the address, which a
// registry may have redirected to.
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

// shortestParameter is the least length of a URL's value that may be a secret.
const shortestParameter = 8

// plainParameters are the parameters of a URL that hold no secret: those of the
// distribution spec, of token servers, and what signed URLs say about themselves.
var plainParameters = []string{
	"digest", "mount", "from", "n", "last", "scope", "service", "account", "client_id", "offline_token", "grant_type",
	"x-amz-algorithm", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "response-content-type", "response-content-disposition",
	"x-goog-algorithm", "x-goog-date", "x-goog-expires", "x-goog-signedheaders", "expires", "se", "sp", "sr", "sv", "spr", "st", "ns",
}

// add remembers a secret, and reports whether it is new.
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
		strings.Join(strings.Fields(secret), " "), // as wording.Clip leaves it
		// Without padding, which may be there or not.
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)))
	return true
}

// remember reports whether one of the forms is new.
func (s *secrets) remember(forms ...string) (fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, form := range forms {
		if form = lower(form); len(form) < shortestSecret {
			continue
		}
		start := form[:shortestSecret]
		if slices.Contains(s.forms[start], form) {
			continue
		}
		if s.forms == nil {
			s.forms = map[string][]string{}
		}
		s.forms[start] = append(s.forms[start], form)
		slices.SortFunc(s.forms[start], func(a, b string) int { return len(b) - len(a) })
		fresh = true
	}
	return fresh
}

// lower is the text in ASCII's lower case, which has the same length: host names are
// shown in it, and hex digits in either case.
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

// Parts of a URL that may be secret: a password, and a query with a signature.
var (
	userInURL  = regexp.MustCompile(`(://)[^\s/?#@"'<>]+@`)
	queryInURL = regexp.MustCompile(`(://[^\s?#"'<>]*\?)[^\s"'<>]{12,}`)
)

// scrub returns the text without known secrets, and without passwords and
// queries of URLs.
func (s *secrets) scrub(text string) string {
	if strings.Contains(text, "://") {
		text = userInURL.ReplaceAllString(text, "${1}"+hidden+"@")
		text = queryInURL.ReplaceAllString(text, "${1}"+hidden)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.forms) == 0 {
		return text
	}
	low := lower(text)
	var b strings.Builder
	end := 0 // of the last secret
	for i := range len(text) {
		if n := s.at(low[i:]); n > 0 {
			if i >= end {
				b.WriteString(hidden)
			}
			end = max(end, i+n)
		}
		if i >= end {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// at returns the length of the secret at the start of text, which may be cut off by
// an ellipsis; 0 if there is none. mu is held.
func (s *secrets) at(text string) int {
	if len(text) < shortestSecret {
		return 0
	}
	for _, form := range s.forms[text[:shortestSecret]] {
		n := 0
		for n < len(form) && n < len(text) && form[n] == text[n] {
			n++
		}
		if n == len(form) || strings.HasPrefix(text[n:], "...") || strings.HasPrefix(text[n:], "…") {
			return n
		}
	}
	return 0
}

// scrubBody is scrub for a body of any type. JSON can escape any character, so its
// strings are decoded first.
func (s *secrets) scrubBody(body []byte) string {
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

// maxErrorBody is how many bytes of an error's body are read; ggcr reads no more.
const maxErrorBody = 64 << 10

// scrubbed is the body of an error without secrets.
type scrubbed struct {
	io.ReadCloser
	secrets *secrets
	text    *strings.Reader // nil: not read yet
	err     error
}

func (b *scrubbed) Read(p []byte) (int, error) {
	if b.text == nil {
		data, err := io.ReadAll(io.LimitReader(b.ReadCloser, maxErrorBody))
		b.text, b.err = strings.NewReader(b.secrets.scrubBody(data)), err
	}
	if b.text.Len() == 0 && b.err != nil {
		return 0, b.err
	}
	return b.text.Read(p)
}
