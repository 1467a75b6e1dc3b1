package base

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/store"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

const (
	// maxManifest bounds manifests, indexes and configs. Registries refuse
	// manifests of more than 4 MiB (OCI distribution spec, "Pushing
	// Manifests").
	maxManifest = 4 << 20
	// downloads is how many blobs are fetched at once.
	downloads = 4
	// maxTransfers is how often a blob is fetched from its beginning.
	maxTransfers = 10
)

// Resolver resolves base references, each once per process. Cache must be set.
// It may be used by several goroutines at once, and must not be copied.
type Resolver struct {
	Cache store.Cache
	// Dir is the folder that a relative oci:PATH is relative to; empty: the
	// working directory.
	Dir string
	// Reference parses a registry reference; it decides which hosts may be
	// insecure. nil: name.ParseReference.
	Reference func(string) (name.Reference, error)
	// Remote holds the transport, the keychain, and with remote.WithContext
	// the context that the layers' later reads obey.
	Remote []remote.Option
	// LoginProblem says why there may be no login for a repository, or returns
	// "" if nothing is wrong. It may be nil.
	LoginProblem func(name.Repository) string
	// Warn is called with oddities of a base that aren't errors; it may be nil.
	Warn func(string)

	once     sync.Once
	puller   *remote.Puller
	slots    chan struct{}
	startErr error

	resolved    store.Memo[*Source] // by reference and digest
	downloading store.Flights
}

// Source is what a base reference named when it was resolved: an index, or one
// platform's image.
type Source struct {
	// Name is the reference in full, as org.opencontainers.image.base.name
	// wants it, like docker.io/library/alpine:3.24. It is empty for an
	// oci:PATH: an image shouldn't name a path of the machine that built it.
	Name string
	// Digest is that of the index, or of the manifest of a single image.
	Digest v1.Hash

	ref   string  // as the user wrote it, for errors
	at    v1.Hash // as in Resolve
	bases *Resolver
	from  origin
	index []v1.Descriptor // the manifests of an index
	image *v1.Descriptor  // or the single image

	built store.Memo[*Base] // by the child's digest
}

// origin is where the blobs of a base come from.
type origin interface {
	// open opens the blob that d describes. The reader must verify it. If ctx
	// can't end, the context that the origin was made with counts.
	open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// reference is where pushes can mount layers from, or nil.
	reference() name.Reference
}

func (b *Resolver) start() error {
	b.once.Do(func() {
		b.slots = make(chan struct{}, downloads)
		b.puller, b.startErr = remote.NewPuller(b.Remote...)
	})
	return b.startErr
}

// manifestType tells an image manifest from an index by its content. Content that is
// neither is an error, and so is content that could be read as both
// (CVE-2021-41190).
func manifestType(raw []byte) (types.MediaType, error) {
	var m struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
		Layers        json.RawMessage `json:"layers"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("not an image manifest: %w", err)
	}
	if m.SchemaVersion == 1 || m.MediaType.IsSchema1() || given(m.FSLayers) {
		return "", errors.New("a Docker schema 1 image, a format deprecated in 2017: use a newer tag, or push it again with a current engine")
	}
	index, image := given(m.Manifests), given(m.Config) || given(m.Layers)
	switch {
	case m.SchemaVersion != 2:
		return "", errors.New("not an image manifest: no \"schemaVersion\": 2")
	case index && image:
		return "", errors.New("not an image manifest: it could be read as an index, too")
	case index && m.MediaType == "":
		return types.OCIImageIndex, nil // optional until image spec 1.1
	case image && m.MediaType == "":
		return types.OCIManifestSchema1, nil
	case index && m.MediaType.IsIndex(), image && m.MediaType.IsImage():
		return m.MediaType, nil
	case m.MediaType != "":
		return "", fmt.Errorf("not an image manifest but %s", wording.Clip(string(m.MediaType)))
	}
	return "", errors.New("not an image manifest")
}

func given(field json.RawMessage) bool { return field != nil && string(field) != "null" }

// read returns the manifest, index or config that d describes.
func (s *Source) read(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifest {
		return nil, fmt.Errorf("%s is %d bytes long, more than the %d that a manifest or config may have", d.Digest, d.Size, maxManifest)
	}
	for try := 1; ; try++ {
		f, err := s.open(ctx, d)
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(f)
		f.Close()
		// The cache's copy was corrupt: download it again.
		if errors.Is(err, disk.ErrContent) && try == 1 {
			continue
		}
		return raw, err
	}
}

// open opens the cached blob that d describes, fetching it first if it isn't
// there.
func (s *Source) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	for try := 1; ; try++ {
		if _, err := s.fetch(ctx, d); err != nil {
			return nil, err
		}
		f, err := s.bases.Cache.Open(d.Digest)
		// Another process may have trimmed the cache just now.
		if errors.Is(err, fs.ErrNotExist) && try == 1 {
			continue
		}
		return f, err
	}
}

// fetch returns the cached file of the blob that d describes.
func (s *Source) fetch(ctx context.Context, d v1.Descriptor) (string, error) {
	switch {
	case d.Digest.Algorithm != "sha256":
		return "", fmt.Errorf("%s: only sha256 digests are supported", d.Digest)
	case d.Size < 0 || d.Size > filetree.MaxContent:
		return "", fmt.Errorf("%s: a size of %d bytes", d.Digest, d.Size)
	}
	cache := s.bases.Cache
	file, err := cache.Blob(d.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = s.bases.downloading.Do(ctx, s.ref+" "+d.Digest.String(), func() (any, error) {
			if _, err := cache.Blob(d.Digest); !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			return nil, s.download(ctx, d)
		})
		if err == nil {
			file, err = cache.Blob(d.Digest)
		}
	}
	if err != nil {
		return "", err
	}
	// A wrong size with the right digest would get into the images that are
	// built on the base.
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if info.Size() != d.Size {
		return "", fmt.Errorf("%s is %d bytes long, but its descriptor says %d", d.Digest, info.Size(), d.Size)
	}
	return file, nil
}

// download puts the blob that d describes into the cache. The transport resumes
// transfers that break off.
func (s *Source) download(ctx context.Context, d v1.Descriptor) error {
	select {
	case s.bases.slots <- struct{}{}:
		defer func() { <-s.bases.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// It can't if the login, or the address of the blob, was valid for some
	// minutes only. Then the transfer starts over, as long as it gets further each
	// time.
	furthest := int64(0)
	for try := 1; ; try++ {
		n, err := s.transfer(ctx, d)
		var over interface{ StartOver() bool }
		if err == nil || !errors.As(err, &over) || !over.StartOver() || n <= furthest || try == maxTransfers {
			return err
		}
		furthest = n
	}
}

// transfer is one try of a download; it returns how many bytes arrived.
func (s *Source) transfer(ctx context.Context, d v1.Descriptor) (int64, error) {
	rc, err := s.from.open(ctx, d)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.Digest, err)
	}
	defer rc.Close()
	r := &countingReader{r: io.LimitReader(rc, d.Size+1)}
	got, _, err := s.bases.Cache.Put(d.Digest, r)
	ended := errors.Is(r.err, io.EOF)
	switch {
	case err == nil:
		return r.n, nil
	case ctx.Err() != nil:
		return r.n, context.Cause(ctx)
	case r.n > d.Size:
		return r.n, fmt.Errorf("%s is longer than the %d bytes that its descriptor says", d.Digest, d.Size)
	case r.n < d.Size && ended:
		return r.n, fmt.Errorf("%s is truncated: it has %d of %d bytes", d.Digest, r.n, d.Size)
	case r.n < d.Size && r.err != nil:
		return r.n, fmt.Errorf("%s is truncated: got %d of %d bytes: %w", d.Digest, r.n, d.Size, r.err)
	case r.err != nil && !ended, got != (v1.Hash{}) && got != d.Digest:
		return r.n, fmt.Errorf("%s has the wrong content: %d bytes of another digest", d.Digest, r.n)
	}
	return r.n, fmt.Errorf("%s: %w", d.Digest, err)
}

// countingReader remembers how much was read and what ended it, to tell an error of
// the origin from one of the cache.
type countingReader struct {
	r   io.Reader
	n   int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

func (b *Resolver) warn(format string, args ...any) {
	if b.Warn != nil {
		b.Warn(fmt.Sprintf(format, args...))
	}
}

// Base is one platform's image, with what its assembly needs. It is shared by all
// callers: don't change what it points to.
type Base struct {
	// Name is the Source's.
	Name string
	// Index is the digest of the Source, Digest that of this image's
	// manifest; for a single-platform source they are the same.
	Index, Digest v1.Hash
	// Image is the base as it was published, Docker media types included.
	// Its layers open from the cache, fetched and verified on first use;
	// those of a registry are *remote.MountableLayer.
	Image  v1.Image
	Config *v1.ConfigFile
	// Platform is the image's own, with the version and features of its system.
	Platform v1.Platform
	// Tree is the file tree of the layers. It is empty for Windows, whose layers
	// are not read, and which a registry needn't have.
	Tree *filetree.Tree
}
