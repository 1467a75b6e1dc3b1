package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// registryCommand starts a registry in this process, or with -real Debian's.
// What it lacks is chosen by regular expressions for METHOD and PATH.
//
//	-login                      only testenv.Username may use it
//	-readonly                   refuses writes with 405
//	-urls                       with -real, takes layers that are elsewhere
//	-fail STATUS:METHOD:PATH    answers so, with a page of HTML
//	-after SECONDS              and asks to be left alone for so long
//	-corrupt METHOD:PATH        changes a byte of the answer
//	-hold METHOD:PATH           answers only once the script says release
//	-beyond                     isn't on the loopback interface
//	-down                       doesn't answer at all
//	-at HOST:PORT               where one was that is down
func registryCommand(ts *testscript.TestScript, args []string) error {
	s := of(ts)
	flags := flag.NewFlagSet("registry", flag.ContinueOnError)
	login := flags.Bool("login", false, "")
	readOnly := flags.Bool("readonly", false, "")
	genuine := flags.Bool("real", false, "")
	urls := flags.Bool("urls", false, "")
	fail := flags.String("fail", "", "")
	after := flags.Int("after", 0, "")
	corrupt := flags.String("corrupt", "", "")
	hold := flags.String("hold", "", "")
	beyond := flags.Bool("beyond", false, "")
	down := flags.Bool("down", false, "")
	at := flags.String("at", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *genuine {
		r := testenv.Registry(s.tb, testenv.RegistryOptions{Login: *login, ReadOnly: *readOnly, URLs: *urls})
		ts.Setenv("REGISTRY", r.Host)
		return nil
	}
	f := &faults{login: *login, after: *after, held: make(chan struct{})}
	if *readOnly {
		*fail = "405:POST|PUT|PATCH|DELETE:."
	}
	if *fail != "" {
		status, rest, _ := strings.Cut(*fail, ":")
		f.status, _ = strconv.Atoi(status)
		*fail = rest
	}
	var err error
	for _, m := range []struct {
		flag string
		to   *matcher
	}{{*fail, &f.fail}, {*corrupt, &f.corrupt}, {*hold, &f.hold}} {
		var merr error
		*m.to, merr = newMatcher(m.flag)
		err = errors.Join(err, merr)
	}
	if err != nil {
		return err
	}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &recorder{ResponseWriter: w, status: http.StatusOK}
		s.note("asked %s %s", r.Method, r.URL.Path)
		f.serve(answer, r, handler)
		s.note("%s %s %d", r.Method, r.URL.Path, answer.status)
	}))
	if *beyond {
		server.Listener.Close()
		server.Listener = listenBeyond(s.tb)
	}
	if *at != "" {
		server.Listener.Close()
		if server.Listener, err = net.Listen("tcp", *at); err != nil {
			return err
		}
	}
	server.Start()
	s.tb.Cleanup(server.Close)
	s.mu.Lock()
	s.release = append(s.release, f.held)
	s.mu.Unlock()
	s.tb.Cleanup(func() { _ = release(ts, nil) })
	if *down {
		server.Close()
	}
	ts.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
	return nil
}

// listenBeyond listens where plain HTTP could be overheard.
func listenBeyond(tb testing.TB) net.Listener {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.To4() == nil {
			continue
		}
		if l, err := net.Listen("tcp", ip.IP.String()+":0"); err == nil {
			return l
		}
	}
	testenv.Missing(tb, "network", "no interface but loopback")
	return nil
}

// faults are what is wrong with a registry.
type faults struct {
	login               bool
	status, after       int
	fail, corrupt, hold matcher
	held                chan struct{} // closed by release
}

// matcher chooses requests; the zero value chooses none.
type matcher struct{ method, path *regexp.Regexp }

func newMatcher(text string) (m matcher, err error) {
	if text == "" {
		return m, nil
	}
	method, path, ok := strings.Cut(text, ":")
	if !ok {
		return m, fmt.Errorf("%s: not METHOD:PATH", text)
	}
	if m.method, err = regexp.Compile("^(" + method + ")$"); err != nil {
		return m, err
	}
	m.path, err = regexp.Compile(path)
	return m, err
}

func (m matcher) match(r *http.Request) bool {
	return m.method != nil && m.method.MatchString(r.Method) && m.path.MatchString(r.URL.Path)
}

func (f *faults) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if f.hold.match(r) {
		select {
		case <-f.held:
		case <-r.Context().Done():
		}
	}
	if user, password, _ := r.BasicAuth(); f.login && (user != testenv.Username || password != testenv.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="tests"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if f.fail.match(r) {
		if f.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.after))
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Hello</title>\n")
		return
	}
	if f.corrupt.match(r) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		for key, values := range answer.Header() {
			w.Header()[key] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(bytes.Replace(answer.Body.Bytes(), []byte("sha256:"), []byte("sha256;"), 1))
		return
	}
	next.ServeHTTP(w, r)
}

// recorder keeps the status for requests.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// note keeps what a registry of the script was asked, and what it said.
func (s *state) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, fmt.Sprintf(format, args...))
}

func requests(ts *testscript.TestScript, _ []string) error {
	s := of(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if !strings.HasPrefix(r, "asked ") {
			fmt.Fprintln(ts.Stdout(), r)
		}
	}
	s.requests = nil
	return nil
}

// asked waits for a request that matches METHOD:PATH.
func asked(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: asked METHOD:PATH")
	}
	method, path, _ := strings.Cut(args[0], ":")
	want, err := regexp.Compile("^asked (" + method + ") .*" + path)
	if err != nil {
		return err
	}
	s := of(ts)
	return eventually(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range s.requests {
			if want.MatchString(r) {
				return nil
			}
		}
		return fmt.Errorf("no request matches %s; there were %q", args[0], s.requests)
	})
}

// release lets go what registries hold.
func release(ts *testscript.TestScript, _ []string) error {
	s := of(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, held := range s.release {
		close(held)
	}
	s.release = nil
	return nil
}

// forget deletes an image, as a registry does that collects what has no tag.
func forget(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: forget REPOSITORY RECORD")
	}
	var record buildlib.Record
	if err := json.Unmarshal([]byte(ts.ReadFile(args[1])), &record); err != nil {
		return err
	}
	ref, err := name.NewDigest(args[0] + "@" + record.Digest.String())
	if err != nil {
		return err
	}
	return remote.Delete(ref)
}

// eventually tries for a minute.
func eventually(try func() error) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// login writes a Docker configuration with testenv.Username's login for hosts.
func login(ts *testscript.TestScript, hosts []string) error {
	ts.Setenv("DOCKER_CONFIG", testenv.DockerConfig(of(ts).tb, hosts...))
	return nil
}
