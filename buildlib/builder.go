package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// Options say how a Builder works; they don't change what it makes. The zero value
// is what the mage targets use.
type Options struct {
	// Cache is the folder for bases and layers, shared between projects.
	// Zero: the Plan's; if it has none either, multimage in os.UserCacheDir.
	Cache string
	// Jobs is how many platforms compile and how many uploads run at once.
	// Zero: as many as there are processors, at most 4, for compiling; 4 for
	// uploads.
	Jobs int
	// WriteBuildCache adds what go compiles to the Plan's BuildCache. Zero: the cache
	// is only read.
	WriteBuildCache bool
	// Engine is where Load puts images: docker, podman, nerdctl, or a cluster of kind,
	// k3d or minikube. Zero: Docker or Podman, whichever answers. If it is one that can,
	// docker, podman or buildah, it also builds bases and runs the tests of images that
	// need an engine; otherwise the first that answers does.
	Engine string
	// Keychain finds the credentials of registries. Nil: those of
	// REGISTRY_AUTH_FILE, Docker and Podman, in this order, then GITHUB_TOKEN
	// for ghcr.io.
	Keychain authn.Keychain
	// Transport sends the requests to registries. Retries, time limits and the
	// refusal of plain HTTP are applied before it. Nil: one that honors HTTPS_PROXY
	// and the like.
	Transport http.RoundTripper
	// Progress is called with every Event, from several goroutines at once. Nil:
	// events are dropped.
	Progress func(Event)
}

// Builder carries out a Plan. Its methods are the stages: each runs those before
// it, and each runs once in a Builder's life, so a second call of Images returns
// what the first returned. Several goroutines may use one Builder: their stages take
// turns. A stage locks the output folder while it runs.
type Builder struct {
	plan    *Plan
	options Options
	progress
	ctx   context.Context // ends with Open's, and with Close
	close context.CancelFunc

	// pins replace the bases of the plan's only image, for Verify. Nil: the bases are
	// what their references lead to now.
	pins map[Platform]pinnedBase

	mu  sync.Mutex // held by the stage that runs
	run runState
}

// pinnedBase is a base that a published image names.
type pinnedBase struct {
	ref    string
	digest v1.Hash
}

// runState remembers the stages that ran.
type runState struct {
	compilation *compilation // once it succeeded
	loading     *compilation // Load's own, for the engine's platform
	binaries    once[[]BinaryResult]
	images      once[[]built]
	published   once[[]ImageResult]
	pushed      once[[]Record]
	loaded      once[[]LoadResult]
	smoked      sync.Map // by image: *smokeRun
}

// once keeps a stage's result for later calls.
type once[T any] struct {
	done  bool
	value T
	err   error
}

func (o *once[T]) do(f func() (T, error)) (T, error) {
	if !o.done {
		o.value, o.err = f()
		o.done = true
	}
	return o.value, o.err
}

// errClosed is the cause of the context of a stage that Close ended.
var errClosed = errors.New("the builder is closed")

// Open makes a Builder for a plan: Project.Plan's, or one read from its JSON. It
// touches no file. If the plan lacks something that a build needs, the error names
// the field. When ctx ends, so do the Builder's stages.
func Open(ctx context.Context, plan *Plan, o Options) (*Builder, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	if o.Jobs < 0 {
		return nil, fmt.Errorf("Jobs: %d is negative", o.Jobs)
	}
	var err error
	if o.Cache, err = cacheFolder(cmp.Or(o.Cache, plan.Cache)); err != nil {
		return nil, err
	}
	b := &Builder{plan: plan, options: o, progress: o.Progress}
	ctx, cancel := context.WithCancelCause(ctx)
	b.ctx, b.close = ctx, func() { cancel(errClosed) }
	return b, nil
}

// Plan returns the plan that the Builder carries out.
func (b *Builder) Plan() *Plan { return b.plan }

// Close stops the stage that is running, if any, and waits until it has ended. No
// stage can run afterwards.
func (b *Builder) Close() error {
	b.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	return nil
}

// with returns a Builder for a part of b's plan. It shares no results with b.
func (b *Builder) with(part *Plan) *Builder {
	return &Builder{plan: part, options: b.options, progress: b.progress, ctx: b.ctx}
}

// within runs a stage with the output folder locked and the cache open.
func within[T any](ctx context.Context, b *Builder, stage func(context.Context, *workspace) (T, error)) (result T, err error) {
	w, ctx, err := b.open(ctx)
	if err != nil {
		return result, err
	}
	defer func() {
		w.later.Wait()
		// Joined only if need be: a caller may look for the error's type.
		if closing := w.close(); closing != nil {
			err = errors.Join(err, closing)
		}
	}()
	result, err = stage(ctx, w)
	return result, w.client.Clean(err)
}

// Workspace is a Builder's output folder while it is locked.
type Workspace struct {
	Temp  string // a folder for temporary files, absolute
	Cache string // as in Options, absolute
}

// Within runs the caller's step as a stage: the output folder is locked, and no
// other stage runs.
func (b *Builder) Within(ctx context.Context, step func(context.Context, Workspace) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := within(ctx, b, func(ctx context.Context, w *workspace) (struct{}, error) {
		return struct{}{}, step(ctx, Workspace{Temp: w.scratch.Dir, Cache: b.options.Cache})
	})
	return err
}

// Begin reports to Options.Progress that a step of the caller's begins. Its end is
// reported by Done or Failed.
func (b *Builder) Begin(e Event) *Running { return b.beginEvent(e) }

// Report passes an event to Options.Progress.
func (b *Builder) Report(e Event) {
	if b.progress != nil {
		b.progress(e)
	}
}

// built is an image as stages pass it on.
type built struct {
	plan   ImagePlan
	index  v1.ImageIndex
	images []v1.Image    // as plan.Platforms
	bases  []*RecordBase // as images; nil for scratch

	contents   []evidence.Contents // as images
	statements []statement
	ImageResult
}

// compilation is a plan's Compiles while they run. Each ends by itself, so that
// images of one platform are assembled while the next one compiles.
type compilation struct {
	calls []compiled // as Plan.Compiles
}

type compiled struct {
	Compile
	done   chan struct{} // closed when the rest is set
	build  gotool.Build
	inputs gotool.Inputs // before go ran

	mu          sync.Mutex
	executables []gotool.Executable
	rebuilt     map[string]bool // by path: damaged ones that were built again
}

// statement is the evidence of an index, or of one platform's image.
type statement struct {
	name      string        // starts the files' names: index, linux-arm64
	of        v1.Descriptor // what it is about
	subject   evidence.Subject
	documents []evidence.Document
	// bundles are the signed statements; none before they are signed. The first is
	// the signature of the image itself.
	bundles []evidence.Document
}
