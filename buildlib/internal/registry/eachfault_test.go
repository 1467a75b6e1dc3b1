package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// stallOf is how long a run waits for stalled data: long where nothing is meant
// to stall, as this machine may be busy.
func stallOf(f testenv.Fault) time.Duration {
	if f == testenv.Stall || f == testenv.StallData || f == testenv.StallMidway {
		return 3 * time.Second
	}
	return time.Minute
}

// One fault, anywhere: the publication succeeds, and sends nothing twice but
// what was lost.
func TestEachFaultOnce(t *testing.T) {
	m := newMatrix(t)
	n := m.cases(testenv.Faults, func(s *subject, at testenv.Request, fault testenv.Fault) error {
		problem := s.watch()
		s.suffer(at, fault, false)
		err := s.publish(Options{Jobs: 1, Patience: time.Minute, Stall: stallOf(fault)})
		requests := s.requests()
		if err := errors.Join(err, problem(), s.whole("v1")); err != nil {
			return err
		}
		happened := 0
		for i, r := range requests {
			if r.Fault == "" {
				continue
			}
			happened++
			asked := map[testenv.Fault]time.Duration{testenv.TooManyWait: time.Second, testenv.TooManyUntil: time.Second}[fault]
			for _, next := range requests[i+1:] {
				// Others may be under way when the answer comes.
				if next.What == r.What && next.At.Sub(r.At) < asked {
					return fmt.Errorf("asked again after %s, not the %s that the registry asked for", next.At.Sub(r.At), asked)
				}
			}
		}
		if happened != 1 {
			return fmt.Errorf("%d requests suffered, want 1: %v", happened, requests)
		}
		puts, bytes := trace(requests)
		var most int64
		for blob, b := range s.blobs {
			want := 1
			// After a lost answer the blob is there; all else is sent again.
			if blob == at.Blob() && fault != testenv.Lost {
				want = 2
			}
			if puts[blob] != want {
				return fmt.Errorf("blob %s was sent %d times, want %d: %v", blob, puts[blob], want, requests)
			}
			most += int64(want) * b.Size
		}
		if bytes > most {
			return fmt.Errorf("%d bytes of blobs were sent, want at most %d", bytes, most)
		}
		return nil
	})
	t.Logf("%d faults at %d requests", n, len(m.all))
}

// A fault that lasts: the error says what failed and why, no tag points to
// something incomplete, and once the registry has recovered, another run sends
// what isn't there and nothing else.
func TestEachFaultLasting(t *testing.T) {
	m := newMatrix(t)
	said := map[testenv.Fault]string{
		testenv.TooMany: "429 Too Many Requests", testenv.TooManyWait: "429 Too Many Requests", testenv.TooManyUntil: "429 Too Many Requests",
		testenv.Internal: "500 Internal Server Error", testenv.BadGateway: "502 Bad Gateway", testenv.Unavailable: "503 Service Unavailable",
		testenv.Reset: "conn", testenv.ResetMidway: "conn", testenv.Lost: "closed in the middle", testenv.Stall: "stalled", testenv.StallData: "stalled", testenv.StallMidway: "stalled", testenv.CutOff: "closed in the middle",
	}
	var mu sync.Mutex
	faults := testenv.Faults
	if !*everyFault { // those that a client may tell apart
		faults = slices.DeleteFunc(slices.Clone(faults), func(f testenv.Fault) bool {
			return f == testenv.TooManyUntil || f == testenv.Internal || f == testenv.BadGateway
		})
	}
	var failed int
	var again, all int64
	n := m.cases(faults, func(s *subject, at testenv.Request, fault testenv.Fault) error {
		problem := s.watch()
		s.suffer(at, fault, true)
		err := s.publish(Options{Jobs: 2, Patience: 20 * time.Millisecond, Stall: min(stallOf(fault), 10*time.Second)})
		s.requests()
		tagged, terr := s.tagged()
		if terr != nil {
			return terr
		}
		if err == nil {
			// What was written is there, even if no answer says so.
			if fault != testenv.Lost && fault != testenv.WrongDigest {
				return errors.New("no error")
			}
		} else {
			text := s.roles.Replace(err.Error())
			for _, want := range []string{s.Host + "/" + s.repository, doing(at.What), said[fault]} {
				// One request is told to wait, and all of them do.
				if want == doing(at.What) && strings.Contains(text, "asks to be left alone") {
					continue
				}
				if !strings.Contains(text, want) {
					return fmt.Errorf("the error lacks %q: %w", want, err)
				}
			}
			if strings.Contains(err.Error(), "Insecure") {
				return fmt.Errorf("the error blames plain HTTP: %w", err)
			}
		}
		if written := at.What == "GET manifests/v1" || at.What == "PUT manifests/v1" && fault == testenv.Lost; tagged != (err == nil || written) {
			return fmt.Errorf("tagged: %t, after the error %w", tagged, err)
		}

		missing, merr := s.missing()
		if merr != nil {
			return merr
		}
		s.Plan(nil)
		start := time.Now()
		if err := s.publish(Options{Jobs: 2, Patience: time.Minute, Stall: time.Minute}); err != nil {
			return fmt.Errorf("run again: %w", err)
		}
		// An upload that the first run left may end only now.
		requests := slices.DeleteFunc(s.requests(), func(r testenv.Request) bool { return r.At.Before(start) })
		if err := errors.Join(problem(), s.whole("v1")); err != nil {
			return fmt.Errorf("run again: %w", err)
		}
		puts, bytes := trace(requests)
		var total int64
		for blob, n := range puts {
			// What was missing and isn't sent has come since: the end of an
			// upload that the first run left.
			if missing[blob] == 0 || n != 1 {
				return fmt.Errorf("run again: blob %s was sent %d times; missing were %v", blob, n, missing)
			}
			total += missing[blob]
		}
		if bytes != total {
			return fmt.Errorf("run again: %d bytes were sent, want %d", bytes, total)
		}
		if tagged && len(requests) != 2 {
			return fmt.Errorf("run again: %d requests where nothing was to be done: %v", len(requests), requests)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed++
		}
		again += bytes
		for _, b := range s.blobs {
			all += b.Size
		}
		return nil
	})
	t.Logf("%d cases, %d failed; the next runs sent %d of %d bytes", n, failed, again, all)
}

// doing is what an error calls the operation that the request belongs to.
func doing(what string) string {
	method, rest, _ := strings.Cut(what, " ")
	kind, id, _ := strings.Cut(rest, "/")
	switch {
	case kind == "uploads" && id == "", kind == "blobs", kind == "uploads":
		return "push blob sha256:"
	case method == "HEAD" && strings.HasPrefix(id, "sha256:"):
		return "look at image " + id
	case method == "HEAD":
		return "look at " + id
	case method == "PUT" && strings.HasPrefix(id, "sha256:"):
		return id
	case method == "PUT":
		return "push tag " + id
	case kind == "manifests":
		return "read back tag " + id
	}
	return "log in"
}

// The bound on uploads holds for all registries together, and for uploads that
// were begun, not only for data under way.
func TestOneBoundOnUploads(t *testing.T) {
	var gauge testenv.Gauge
	var hosts []string
	for range 2 {
		p := testenv.NewProxy(t, testenv.MemoryRegistry(t))
		p.Uploads = &gauge
		p.Before(func(r testenv.Request) {
			if strings.Contains(r.What, " uploads") {
				time.Sleep(2 * time.Millisecond) // so that uploads meet
			}
		})
		hosts = append(hosts, p.Host)
	}
	c := client(t, Options{Jobs: 3, Stall: time.Minute})
	var g errgroup.Group
	for i := range 3 {
		for _, host := range hosts {
			g.Go(func() error {
				repo, err := c.Repository(fmt.Sprintf("%s/acme/app%d", host, i))
				if err != nil {
					return err
				}
				_, err = c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if gauge.Most != 3 {
		t.Errorf("%d uploads were open at once, want 3", gauge.Most)
	}
}

// A registry that stops taking an upload in the middle is noticed, and the
// upload is made again. The blob is more than the kernel holds on the way.
func TestStalledUpload(t *testing.T) {
	p := testenv.NewProxy(t, testenv.MemoryRegistry(t))
	blob := testenv.RandomLayer(t, 32<<20)
	h, err := blob.Digest()
	if err != nil {
		t.Fatal(err)
	}
	p.Plan(func(r testenv.Request) testenv.Fault {
		if r.Blob() == h.String() && r.Occurrence == 0 {
			return testenv.StallData
		}
		return ""
	})
	c := client(t, Options{Stall: time.Second, Patience: time.Minute})
	repo := repository(t, c, p.Host+"/acme/app")
	idx := testenv.Index(testenv.Image(t, "amd64", blob))
	out, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	var stalled int
	for _, r := range p.Requests() {
		if r.Fault != "" {
			stalled++
		}
	}
	if stalled != 1 || out.Uploaded != 2 {
		t.Errorf("%d uploads stalled, want 1: %+v", stalled, out)
	}
	pullBack(t, repo, "v1", out.Digest)
}
