package buildlib

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/multimage/multimage/buildlib/internal/base"
	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/dockerfile"
	"github.com/multimage/multimage/buildlib/internal/git"
	"github.com/multimage/multimage/buildlib/internal/image"
	"github.com/multimage/multimage/buildlib/internal/layout"
	"github.com/multimage/multimage/buildlib/internal/registry"
	"github.com/multimage/multimage/buildlib/internal/runtime"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// baseFormat is increased when the same Dockerfile would give another base.
const baseFormat = 1

// preparer finds the bases that are built from Dockerfiles, and builds missing ones.
type preparer struct {
	w     *workspace
	bases *base.Resolver
	refs  store.Memo[string] // what reference returned, by base
	mu    sync.Mutex         // held while one is built
}

// prepared is a base from a Dockerfile, and where it is kept.
type prepared struct {
	DockerfilePlan
	context    *dockerfile.Context
	executable map[string]bool                          // as git.Executables
	digest     string                                   // of the context
	names      map[Platform]map[dockerfile.Image]string // by digest
	tls        bool                                     // an image's registry speaks HTTPS
	key        string                                   // hash of all that it is made of
	ref        string                                   // as base.Resolver takes it
	folder     string                                   // the layout that it is kept in; empty: it is in Plan.Bases
}

// reference returns where the base is, and builds it if need be.
func (p *preparer) reference(ctx context.Context, base string) (string, error) {
	return p.refs.Do(ctx, base, func() (string, error) {
		made, there, err := p.find(ctx, base)
		if err == nil && !there {
			err = p.build(ctx, made)
		}
		if err != nil {
			return "", fmt.Errorf("base %s: %w", base, err)
		}
		return made.ref, nil
	})
}

// find returns where the base is kept, and whether it is there.
func (p *preparer) find(ctx context.Context, base string) (prepared, bool, error) {
	made, err := p.describe(ctx, base)
	if err != nil {
		return made, false, err
	}
	there, err := p.look(ctx, made)
	return made, there, err
}

// look reports whether the base is there: with one HEAD if it was there before.
func (p *preparer) look(ctx context.Context, made prepared) (bool, error) {
	_, err := p.bases.Resolve(ctx, made.ref, v1.Hash{})
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case made.folder != "" || isNotFound(err):
		return false, nil
	case isRefused(err):
		// Some registries answer so for a repository that the first push creates.
		repo, parseErr := p.w.client.Repository(p.w.plan.Bases)
		if parseErr == nil && p.w.client.MayPush(ctx, repo) == nil {
			return false, nil
		}
	}
	return false, err
}

// isRefused reports whether a registry refused access.
func isRefused(err error) bool {
	terr, ok := errors.AsType[*transport.Error](err)
	return ok && (terr.StatusCode == http.StatusUnauthorized || terr.StatusCode == http.StatusForbidden)
}

// describe finds out what the base is made of.
func (p *preparer) describe(ctx context.Context, base string) (made prepared, err error) {
	i := slices.IndexFunc(p.w.plan.Dockerfiles, func(d DockerfilePlan) bool { return d.Base == base })
	if i < 0 {
		return made, errors.New("the plan's Dockerfiles lack it")
	}
	made = prepared{DockerfilePlan: p.w.plan.Dockerfiles[i], names: map[Platform]map[dockerfile.Image]string{}}
	if made.context, err = dockerfile.Open(p.w.plan.path(made.DockerfilePlan), p.w.plan.Output); err != nil {
		return made, err
	}
	if made.executable, err = git.Executables(ctx, made.context.Folder); err != nil {
		return made, err
	}
	if made.digest, err = made.context.Digest(made.executable, ""); err != nil {
		return made, err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d %s %s\n", baseFormat, join(made.Platforms), made.digest)
	for _, platform := range made.Platforms {
		images, err := made.context.Images(platform.String())
		if err != nil {
			return made, err
		}
		names := map[dockerfile.Image]string{}
		for _, img := range images {
			pinned, plain, err := p.pin(ctx, img)
			if err != nil {
				return made, fmt.Errorf("line %d: %w", img.Line, err)
			}
			names[img], made.tls = pinned, made.tls || !plain
			fmt.Fprintf(sum, "%s %s %s\n", platform, img.Ref, pinned)
		}
		made.names[platform] = names
	}
	made.key = fmt.Sprintf("%x", sum.Sum(nil))[:40]
	made.ref = p.w.plan.Bases + ":" + made.key
	if p.w.plan.Bases == "" {
		made.folder = filepath.Join(p.w.private("bases"), shortHash(base))
		made.ref = "oci:" + made.folder + ":" + made.key
	}
	return made, nil
}

// pin is the reference of an image by the digest that it has now for its platform:
// Docker can't have images for two platforms under the digest of one index.
func (p *preparer) pin(ctx context.Context, img dockerfile.Image) (pinned string, plain bool, err error) {
	s, err := p.bases.Resolve(ctx, img.Ref, v1.Hash{})
	if err != nil {
		return "", false, err
	}
	platform, err := ParsePlatform(img.Platform)
	if err != nil {
		return "", false, err
	}
	digest, err := s.Manifest(ctx, platform.spec())
	if err != nil {
		return "", false, err
	}
	ref, err := p.w.client.Reference(img.Ref)
	if err != nil {
		return "", false, err
	}
	repo := ref.Context().Name()
	if rest, ok := strings.CutPrefix(repo, name.DefaultRegistry+"/"); ok {
		repo = "docker.io/" + rest
	}
	return repo + "@" + digest.String(), ref.Context().Scheme() == "http", nil
}

// build builds the base and keeps it, unless another run on this machine was faster.
func (p *preparer) build(ctx context.Context, made prepared) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	lock, err := disk.WaitLock(ctx, filepath.Join(p.w.options.Cache, "bases.lock"), holder(), func(other string) {
		p.w.tell(StepWait, fmt.Sprintf("%s builds a base", other))
	})
	if err == nil {
		defer lock.Unlock()
		if there, err := p.look(ctx, made); there || err != nil {
			return err
		}
	} else if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	engine, err := runtime.FindBuilder(ctx, p.w.options.Engine)
	if err != nil && p.w.options.Engine != "" {
		return fmt.Errorf("it is not built yet, and Options.Engine: %w", err)
	}
	if err != nil {
		return fmt.Errorf("it is not built yet, and can't be here, because %w; or run Builder.BuildBases where one is", err)
	}
	dir, err := os.MkdirTemp(p.w.scratch.Dir, "base-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var children []image.Child
	for i, platform := range made.Platforms {
		child, err := p.buildOn(ctx, engine, made, platform, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		children = append(children, child)
	}
	idx, err := image.Index(children, nil)
	if err != nil {
		return err
	}
	if made.folder != "" {
		if err := errors.Join(p.w.folder(made.folder), p.w.folder(made.folder+".notes")); err != nil {
			return err
		}
		return layout.Write(ctx, made.folder, idx, layout.Options{Tags: []string{made.key}, Link: p.w.store.Link, Private: made.folder + ".notes"})
	}
	// Another machine may have been faster: then its base is everyone's.
	if there, err := p.look(ctx, made); there || err != nil {
		return err
	}
	repo, err := p.w.client.Repository(p.w.plan.Bases)
	if err != nil {
		return err
	}
	if _, err = p.w.client.Publish(ctx, repo, idx, []string{made.key}, registry.Hooks{}); err != nil {
		if there, _ := p.look(ctx, made); there {
			return nil
		}
		return fmt.Errorf("it is built, but can't be kept: %w", err)
	}
	return nil
}

// buildOn has the engine build the base for a platform, in dir.
func (p *preparer) buildOn(ctx context.Context, engine runtime.Engine, made prepared, platform Platform, dir string) (_ image.Child, err error) {
	step := p.w.begin(StepBuild, made.Base, platform.String())
	defer func() { step.Failed(err) }()
	r := runtime.Recipe{
		Dockerfile: filepath.Join(dir, "Dockerfile"), Folder: filepath.Join(dir, "context"), Platform: platform.spec(),
		Plain: !made.tls,
	}
	if err := os.MkdirAll(r.Folder, 0o755); err != nil {
		return image.Child{}, err
	}
	if digest, err := made.context.Digest(made.executable, r.Folder); err != nil {
		return image.Child{}, err
	} else if digest != made.digest {
		return image.Child{}, fmt.Errorf("the folder %s changed while the base was built: try again", made.context.Folder)
	}
	if err := os.WriteFile(r.Dockerfile, dockerfile.Pin(made.context.Text, made.names[platform]), 0o644); err != nil {
		return image.Child{}, err
	}
	tag := fmt.Sprintf("multimage-base:%s-%d-%s", made.key[:12], os.Getpid(), platform.dashed())
	img, err := engine.Build(ctx, r, tag, filepath.Join(dir, "image.tar"))
	if err != nil {
		return image.Child{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return image.Child{}, err
	}
	// It becomes an OCI image, without traces of its build.
	spec := image.Spec{Platform: platform.spec(), Base: img, BaseEntrypoint: true, BaseCmd: true, Created: p.w.plan.Epoch}
	spec.Config.User = config.Config.User
	out, err := image.New(spec)
	if err != nil {
		return image.Child{}, err
	}
	step.Done(engine.Name)
	return image.Child{Platform: platform.spec(), Image: out}, nil
}

// BaseResult is a base from a Dockerfile that BuildBases has built or found.
type BaseResult struct {
	Base      string // as the Project has it
	Ref       string // where it is kept
	Digest    v1.Hash
	Platforms []Platform
}

// BuildBases builds the bases from Dockerfiles that are not in Plan.Bases yet. So
// does every stage that needs them.
func (b *Builder) BuildBases(ctx context.Context) ([]BaseResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return within(ctx, b, func(ctx context.Context, w *workspace) ([]BaseResult, error) {
		p := w.newPreparer()
		var all []BaseResult
		for _, d := range w.plan.Dockerfiles {
			ref, err := p.reference(ctx, d.Base)
			if err != nil {
				return all, err
			}
			s, err := p.bases.Resolve(ctx, ref, v1.Hash{})
			if err != nil {
				return all, err
			}
			all = append(all, BaseResult{d.Base, ref, s.Digest, d.Platforms})
		}
		return all, nil
	})
}

func (w *workspace) newPreparer() *preparer {
	return &preparer{w: w, bases: &base.Resolver{
		Cache: w.store, Dir: w.plan.Dir,
		Reference: w.client.Reference, Remote: w.client.Remote(), LoginProblem: w.client.LoginProblem,
		Warn: func(text string) { w.tell(StepWarn, w.client.Scrub(text)) },
	}}
}
