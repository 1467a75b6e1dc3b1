package buildlib

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/gocache"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/registry"
)

// buildCache restores the packages that go compiled on other machines to GOCACHE, and
// the modules that it fetched there to GOMODCACHE, and adds this machine's. No build
// needs it, so whatever goes wrong is a warning. A nil buildCache is empty.
type buildCache struct {
	w       *workspace
	repo    name.Repository
	key     *evidence.Key // signs the cache and verifies it; nil: the project signs nothing
	parts   []*cachePart
	modules *cachePart // nil: go needs none
	folder  gocache.Folder
	packs   chan struct{} // slots of packs being restored
	warning sync.Once

	mu   sync.Mutex
	kept int64 // bytes of executables that this build adds
}

const (
	// cachePatience bounds the wait for a registry that may not even have a cache.
	cachePatience = 5 * time.Second
	// cachePacks is how many packs are fetched and unpacked at once: a single one
	// keeps a processor busy, but not the network.
	cachePacks = 4
)

// cacheTag names the packages that go compiles for c, by all that goes into the go
// command's action IDs except the source.
func (p *Plan) cacheTag(c Compile) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %q %q %q %q %q %q", p.Go.Version, p.Go.Experiment, p.Go.FIPS140, p.Go.Flags, c.Env, c.PackageFlags))
	version := strings.Map(func(r rune) rune {
		if r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, p.Go.Version)
	return fmt.Sprintf("%.60s-%s-%x", version, c.Platform.dashed(), sum[:6])
}

// restoreBuildCache begins to restore what the plan's Compiles need, in their order.
// It stops when ctx ends.
func (w *workspace) restoreBuildCache(ctx context.Context, g *errgroup.Group) *buildCache {
	if w.plan.BuildCache == "" {
		return nil
	}
	key, err := w.plan.key()
	if err == nil && w.plan.Sign == signKeyless {
		err = errors.New("a keyless signature of it can't be made yet")
	}
	if err != nil {
		w.tell(StepWarn, fmt.Sprintf("build cache %s: not used, because the project signs: %v", w.plan.BuildCache, err))
		return nil
	}
	c := &buildCache{w: w, key: key, packs: make(chan struct{}, cachePacks)}
	for _, call := range w.plan.Compiles {
		if slices.ContainsFunc(call.Env, func(s string) bool { return strings.HasPrefix(s, "GOCACHE") }) {
			continue // it has another cache
		}
		p := c.part(call)
		if p == nil {
			p = c.platformPart(call)
			c.parts = append(c.parts, p)
		}
		p.calls++
	}
	c.modules = modulesPart(ctx, w.plan, c.w.log)
	g.Go(func() error {
		c.restore(ctx)
		return nil
	})
	return c
}

// platformPart makes the part for the packages that call compiles.
func (c *buildCache) platformPart(call Compile) *cachePart {
	p := newCachePart(c.w.plan.cacheTag(call), "go compiles what is missing")
	p.platform, p.spec = call.Platform.String(), call.Platform.spec()
	p.missing = func(x gocache.Index) []gocache.Pack { return x.Missing(c.folder) }
	p.unpack = func(ctx context.Context, pack gocache.Pack, layer io.Reader) (int, error) {
		return c.folder.Unpack(ctx, pack, layer)
	}
	p.update = func(ctx context.Context, x gocache.Index, temp string) (gocache.Index, bool, error) {
		return x.Update(ctx, c.folder, p.used, temp)
	}
	return p
}

// part is the part with call's packages; nil if there is none.
func (c *buildCache) part(call Compile) *cachePart {
	if c == nil {
		return nil
	}
	tag := c.w.plan.cacheTag(call)
	for _, p := range c.parts {
		if p.tag == tag {
			return p
		}
	}
	return nil
}

// warn reports a problem that makes a build slower: the first as a warning, further
// ones in the log.
func (c *buildCache) warn(p *cachePart, err error) {
	if c.w.ctx.Err() != nil {
		return
	}
	text := fmt.Sprintf("build cache %s:%s: %v: %s", c.w.plan.BuildCache, p.tag, c.w.client.Clean(err), p.without)
	first := false
	c.warning.Do(func() { first = true })
	if first {
		c.w.tell(StepWarn, text)
	} else {
		c.w.log("%s", text)
	}
}

// restore restores all parts. Each is ready as soon as it is complete.
func (c *buildCache) restore(ctx context.Context) {
	parts := c.parts
	if c.modules != nil { // first, because go asks what to compile when they are there
		parts = append([]*cachePart{c.modules}, parts...)
	}
	folder, err := gotool.Go{Dir: c.w.plan.Dir}.Cache(ctx)
	if err == nil && folder != "" {
		c.repo, err = c.w.client.Repository(c.w.plan.BuildCache)
	}
	if err == nil && folder == "" {
		err = errors.New("GOCACHEPROG is set")
	}
	if err != nil {
		c.w.log("no build cache: %v", err)
		for _, p := range parts {
			close(p.ready)
		}
		return
	}
	c.folder = gocache.Folder(folder)
	var wait sync.WaitGroup
	var before chan struct{} // closed when the part before has begun its last pack
	for _, p := range parts {
		turn, begun := before, make(chan struct{})
		before = begun
		wait.Go(func() {
			defer close(p.ready)
			c.restorePart(ctx, p, turn, sync.OnceFunc(func() { close(begun) }))
		})
	}
	wait.Wait()
}

// restorePart restores a part once turn is closed. It calls begun when its last pack
// has a slot.
func (c *buildCache) restorePart(ctx context.Context, p *cachePart, turn <-chan struct{}, begun func()) {
	defer begun()
	x, err := c.index(ctx, p)
	if isNotFound(err) {
		c.w.log("build cache: there is no %s yet", p.tag)
		return
	}
	if err != nil {
		c.warn(p, err)
		return
	}
	missing := p.missing(x)
	if len(missing) == 0 {
		return
	}
	if turn != nil {
		select {
		case <-turn:
		case <-ctx.Done():
			return
		}
	}
	step := c.w.begin(StepRestore, p.tag, p.platform)
	var mu sync.Mutex
	var entries int
	var size, all int64
	for _, pack := range missing {
		all += pack.Size
	}
	var wait sync.WaitGroup
	for _, pack := range missing {
		select {
		case c.packs <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-c.packs }()
			n, err := c.restorePack(ctx, p, pack)
			mu.Lock()
			defer mu.Unlock()
			entries += n
			if err != nil {
				c.warn(p, fmt.Errorf("pack %s is left out: %w", pack.Digest, err))
				return
			}
			size += pack.Size
			step.bytes(size, all)
		})
	}
	begun()
	wait.Wait()
	if ctx.Err() != nil {
		step.Failed(context.Cause(ctx))
		return
	}
	step.Done(fmt.Sprintf("%d entries, %.1f MB", entries, float64(size)/1e6))
}

func (c *buildCache) restorePack(ctx context.Context, p *cachePart, pack gocache.Pack) (n int, err error) {
	r, err := c.w.client.Blob(ctx, c.repo, v1.Descriptor{Digest: pack.Digest, Size: pack.Size})
	if err != nil {
		if isNotFound(err) {
			p.lose(pack.Digest)
		}
		return 0, err
	}
	defer r.Close()
	from := &errorReader{r: r}
	n, err = p.unpack(ctx, pack, from)
	if err != nil && from.err == nil && ctx.Err() == nil && !errors.As(err, new(*fs.PathError)) {
		p.lose(pack.Digest) // neither the network nor this machine's disk is to blame
	}
	return n, err
}

// errorReader keeps the error that ended it early.
type errorReader struct {
	r   io.Reader
	err error
}

func (e *errorReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}

// errForeign is the error of an image that isn't a build cache of this project.
type errForeign struct{ error }

func (e errForeign) Unwrap() error { return e.error }

// index reads the index of the part's image.
func (c *buildCache) index(ctx context.Context, p *cachePart) (x gocache.Index, err error) {
	short, cancel := context.WithTimeout(ctx, cachePatience)
	defer cancel()
	_, m, err := c.w.client.Manifest(short, c.repo.Tag(p.tag))
	if err != nil {
		return x, err
	}
	d, signature, err := gocache.Config(m.Raw)
	if err == nil {
		err = c.checkSignature(d.Digest, signature)
	}
	if err != nil {
		return x, errForeign{err}
	}
	r, err := c.w.client.Blob(ctx, c.repo, d)
	if err != nil {
		return x, err
	}
	defer r.Close()
	config, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err != nil {
		return x, err
	}
	if x, err = gocache.Read(m.Raw, config); err != nil {
		return x, errForeign{err}
	}
	return x, nil
}

func isNotFound(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && terr.StatusCode == http.StatusNotFound
}

// before waits until what call needs is restored, including executables. after must
// be called with the executables that go has built.
func (c *buildCache) before(ctx context.Context, call Compile, b gotool.Build) (after func([]gotool.Executable), err error) {
	p := c.part(call)
	if p == nil {
		return func([]gotool.Executable) {}, nil
	}
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	portable := c.folder != "" && portableExecutables(call)
	if portable {
		if err := adoptExecutables(ctx, c.folder, call, b); err != nil {
			c.w.log("build cache: an executable is left out: %v", err)
		}
	}
	if !c.w.options.WriteBuildCache || c.folder == "" {
		return func([]gotool.Executable) {}, nil
	}
	since := c.folder.Rest(time.Now())
	return func(executables []gotool.Executable) {
		if portable {
			if err := keepExecutables(c.folder, call, executables, c.room); err != nil {
				c.w.log("build cache: an executable is left out: %v", err)
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.used = append(p.used, c.folder.Used(since)...)
		if p.calls--; p.calls == 0 {
			c.w.later.Go(func() { c.write(c.w.ctx, p) })
			if m := c.modules; m != nil && p == c.parts[len(c.parts)-1] { // calls are one after the other
				c.w.later.Go(func() { c.write(c.w.ctx, m) })
			}
		}
	}, nil
}

// awaitModules waits until the modules are restored.
func (c *buildCache) awaitModules(ctx context.Context) error {
	if c == nil || c.modules == nil {
		return nil
	}
	return c.modules.await(ctx)
}

// room reports whether an executable of that size may be added, and counts it if so.
func (c *buildCache) room(size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size > maxExecutable || c.kept > 0 && c.kept+size > maxKept {
		return false
	}
	c.kept += size
	return true
}

// write adds to the part's image what go has used and the image lacks.
func (c *buildCache) write(ctx context.Context, p *cachePart) {
	step := c.w.begin(StepKeep, p.tag, p.platform)
	summary, err := c.tryWrite(ctx, p, step)
	for range 3 {
		lost, ok := errors.AsType[*gocache.Lost](err)
		if !ok {
			break
		}
		p.lose(lost.Digest)
		summary, err = c.tryWrite(ctx, p, step)
	}
	if err != nil {
		step.Failed(err)
		c.w.tell(StepWarn, fmt.Sprintf("build cache %s:%s: not written: %v", c.w.plan.BuildCache, p.tag, c.w.client.Clean(err)))
		return
	}
	step.Done(summary)
}

func (c *buildCache) tryWrite(ctx context.Context, p *cachePart, step *Running) (summary string, err error) {
	// Another run may have written it meanwhile.
	x, err := c.index(ctx, p)
	if errors.As(err, new(errForeign)) {
		c.w.log("build cache: %s is replaced: %v", p.tag, err)
		x, err = gocache.Index{}, nil
	}
	if err != nil && !isNotFound(err) {
		return "", err
	}
	had := len(x.Packs)
	x = x.Without(func(h v1.Hash) bool { return p.lost[h] })
	next, changed, err := p.update(ctx, x, c.w.scratch.Dir)
	if err != nil {
		return "", err
	}
	if !changed && len(x.Packs) == had {
		return "up to date", nil
	}
	manifest, config, err := next.Image(p.spec, c.sign())
	if err != nil {
		return "", err
	}
	m := registry.Manifest{Type: types.OCIManifestSchema1, Raw: manifest}
	for _, pack := range next.Packs {
		m.Blobs = append(m.Blobs, registry.Blob{Digest: pack.Digest, Size: pack.Size, Open: pack.Open})
	}
	m.Blobs = append(m.Blobs, blobOf(config))
	var sent registry.Event
	if _, err := c.w.client.Push(ctx, c.repo, p.tag, m, registry.Hooks{Progress: func(e registry.Event) {
		sent = e
		step.bytes(e.Sent, e.Total)
	}}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d packs, %.1f MB sent", len(next.Packs), float64(sent.Sent)/1e6), nil
}
