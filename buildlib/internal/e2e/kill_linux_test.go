package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestKill kills runs of the targets that write to disk and registries, at
// moments chosen at random, and looks at what they leave: no tag points to a
// part of an index, and each file is whole. Then the next run, for which nobody
// cleans up, must give the digests that a run elsewhere gave, and leave nothing
// of the killed one.
//
// TEST_KILLS is how many runs are killed (default 24); TEST_SEED repeats the
// choices of an earlier test, though not what the machine's load made of them.
func TestKill(t *testing.T) {
	t.Parallel()
	testenv.Slow(t)
	kills, seed := number(t, "TEST_KILLS", 24), number(t, "TEST_SEED", time.Now().UnixNano())
	t.Logf("TEST_SEED=%d TEST_KILLS=%d", seed, kills)
	k := newKilling(t, rand.New(rand.NewPCG(uint64(seed), 0)))
	for i := int64(0); i < kills; {
		if k.round(t, killTargets[i%int64(len(killTargets))]) {
			i++
			if i%100 == 0 {
				t.Logf("%d kills; %s", i, k.histogram())
			}
		}
		if t.Failed() {
			t.Fatalf("round %d, after %d kills: %s", k.rounds, i, k.last)
		}
	}
	for tag := range k.registry.tags(t) {
		if !strings.HasPrefix(tag, "acme/") || isReferrers(tag) {
			continue // the base, and evidence, which is no index of images
		}
		if err := validate.Index(testenv.Pull(t, k.registry.host+"/"+tag)); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	t.Log(k.histogram())
}

func number(t *testing.T, variable string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// killTargets are what is run and killed.
var killTargets = []string{"images", "manifest", "ci:push", "ci:merge"}

// choice is one round's.
type choice struct {
	target  string
	mage    bool   // run by mage, all of whose process group is killed
	source  int    // which of the sources is built
	next    int    // and which after the kill
	share   string // the platforms that ci:push pushes; empty: all
	fresh   fresh
	wait    time.Duration // the kill comes after so long, or
	stage   string        // at a request or a change of a file in this stage,
	count   int           // of which it is so many,
	request moment        // before that is answered, or after
}

// fresh says what is empty when a round begins.
type fresh struct{ output, cache, registry bool }

// choose chooses what a round does. Most runs find what the round before left,
// and have something to do.
func (k *killing) choose(target string) choice {
	r := k.random
	c := choice{target: target, mage: r.IntN(4) == 0, source: r.IntN(sources), request: moment(r.IntN(2))}
	c.fresh = fresh{output: r.IntN(4) == 0, cache: r.IntN(4) == 0, registry: r.IntN(3) == 0}
	c.next = c.source
	if r.IntN(3) == 0 {
		c.next = r.IntN(sources)
	}
	if target == "ci:push" {
		c.share = append(shares, "")[r.IntN(len(shares)+1)]
	}
	if target == "ci:merge" {
		// There is nothing else to do for it.
		c.fresh.registry = r.IntN(3) > 0
	}
	// After runs that ended before it came to the kill, sooner.
	part := r.Float64() / float64(1+k.missed)
	seen := k.seen[target]
	if stages := slices.Sorted(maps.Keys(seen.stages)); len(stages) > 0 && r.IntN(3) > 0 {
		c.stage = stages[r.IntN(len(stages))]
		c.count = 1 + int(part*float64(seen.stages[c.stage]))
	} else {
		c.wait = time.Duration(part * float64(seen.took[c.mage]))
	}
	return c
}

// progress is what a run has done so far, and where it was seen last. It is
// told of requests and files from several goroutines.
type progress struct {
	mu     sync.Mutex
	stage  string
	stages map[string]int // requests and changes, by stage
	aim    func(moment)   // called for each, with mu held
}

// moment is when a run is seen.
type moment int

const (
	asks    moment = iota // it makes a request
	answers               // the request was answered, which it doesn't know yet
	changes               // it has changed a file
)

func newProgress() *progress {
	return &progress{stage: "plan", stages: map[string]int{}, aim: func(moment) {}}
}

func (p *progress) request(r *http.Request, answered bool) {
	at := asks
	if answered {
		at = answers
	}
	p.note(stageOfRequest(r), at)
}

func (p *progress) note(stage string, at moment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stage == "" {
		return
	}
	p.stage = stage
	if at != answers {
		p.stages[stage]++
	}
	p.aim(at)
}

// stageOfRequest says what a run does that makes a request.
func stageOfRequest(r *http.Request) string {
	path := r.URL.Path
	tag := tagPath.MatchString(path)
	switch {
	case path == "/v2/":
		return "log in"
	case strings.HasPrefix(path, "/v2/base/"):
		return "base"
	case strings.Contains(path, "/blobs/"):
		return "push blobs"
	case r.Method == http.MethodPut && tag:
		return "push tags"
	case r.Method == http.MethodPut:
		return "push manifests"
	case r.Method == http.MethodGet:
		return "read back"
	}
	return "look at manifests"
}

// stageOfFile says what a run does that changes a file of the output folder or
// the cache. Temporary files tell nothing.
func (k *killing) stageOfFile(path string) string {
	if name, ok := strings.CutPrefix(path, k.cache+"/"); ok {
		if strings.HasPrefix(name, "tmp/") {
			return ""
		}
		return "cache"
	}
	rel, err := filepath.Rel(k.output, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return ""
	}
	name := func(prefix string) bool { return rel == prefix || strings.HasPrefix(rel, prefix+"/") }
	switch {
	case strings.Contains(rel, "/go-build"), name(".multimage/kept"):
		return "compile"
	case name(".multimage/layouts"), name("oci"):
		return "layouts"
	case strings.HasPrefix(rel, ".multimage/tmp/run-"):
		return ""
	case name("bin"):
		return "binaries"
	case name("images.json"), name("digests"):
		return "results"
	}
	return "open"
}

// round chooses, kills, looks, and runs again. It reports whether the run was
// killed before it ended.
func (k *killing) round(t *testing.T, target string) bool {
	t.Helper()
	k.rounds++
	c := k.choose(target)
	k.last = fmt.Sprintf("%+v", c)
	k.prepare(t, c)
	before := layoutFiles(k.output)
	stage, killed := k.attack(t, c)
	if !killed {
		k.ended++
		k.missed++
		k.check(t, c)
		return false
	}
	k.missed = 0
	k.last += ", killed in stage: " + stage
	k.hits[target+": "+stage]++
	k.survived(t, before)
	if t.Failed() {
		return true
	}
	k.setSource(t, c.next)
	k.finish(t, c)
	k.check(t, c)
	return true
}

// attack runs the target and kills it when the aim says so.
func (k *killing) attack(t *testing.T, c choice) (stage string, killed bool) {
	t.Helper()
	p := newProgress()
	started := make(chan struct{})
	var f *family
	var at time.Time
	kill := func() { // p.mu is held
		<-started
		select {
		case <-f.done:
			return
		default:
		}
		pid := f.cmd.Process.Pid
		if c.mage {
			pid = -pid
		}
		stage, at = p.stage, time.Now()
		_ = syscall.Kill(pid, syscall.SIGKILL)
		p.aim = func(moment) {}
	}
	p.aim = func(at moment) {
		if p.stage == c.stage && p.stages[c.stage] == c.count && (at == changes || at == c.request) {
			kill()
		}
	}
	f, stop := k.start(t, c, p)
	close(started)
	if c.stage == "" {
		select {
		case <-time.After(c.wait):
			p.mu.Lock()
			kill()
			p.mu.Unlock()
		case <-f.done:
		}
	}
	<-f.done
	stop()
	if f.cmd.ProcessState.Success() {
		return stage, false
	}
	if !f.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("round %d: %s: %v\n%s", k.rounds, k.last, f.cmd.ProcessState, f.output())
	}
	f.wantGone(t, at)
	return stage, true
}

// finish runs the target, which must succeed.
func (k *killing) finish(t *testing.T, c choice) {
	t.Helper()
	p := newProgress()
	began := time.Now()
	f, stop := k.start(t, c, p)
	<-f.done
	stop()
	if !f.cmd.ProcessState.Success() {
		t.Fatalf("round %d: %s: the next run: %v\n%s", k.rounds, k.last, f.cmd.ProcessState, f.output())
	}
	k.seen[c.target].note(c.mage, p, time.Since(began))
}

// start starts the target; progress is told of it until stop.
func (k *killing) start(t *testing.T, c choice, p *progress) (f *family, stop func()) {
	t.Helper()
	w := watch(t, func(path string) { p.note(k.stageOfFile(path), changes) }, k.dir, filepath.Dir(k.cache))
	k.registry.watched(p.request)
	program := k.tool
	if c.mage {
		program = k.mage
	}
	args := []string{c.target}
	if c.target == "ci:merge" {
		args = append(args, k.want[k.source].records)
	}
	f = k.tinyProject.start(t, k.runEnv(c.share), program, args...)
	return f, func() {
		k.registry.watched(nil)
		w.close()
	}
}

// seen is what runs of a target that ended did, for the next ones to be killed
// within it.
type seen struct {
	stages map[string]int         // requests and changes of files
	took   map[bool]time.Duration // with mage, and without
}

func (s *seen) note(mage bool, p *progress, took time.Duration) {
	// Runs differ in what there is to do: keep near the longer ones.
	for stage, n := range p.stages {
		s.stages[stage] = max(n, s.stages[stage]*9/10)
	}
	s.took[mage] = max(took, s.took[mage]*9/10)
}

// histogram says where the kills hit.
func (k *killing) histogram() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs ended before their kill; kills by target and what was seen last:\n", k.ended)
	for _, where := range slices.Sorted(maps.Keys(k.hits)) {
		fmt.Fprintf(&b, "%4d  %s\n", k.hits[where], where)
	}
	return b.String()
}
