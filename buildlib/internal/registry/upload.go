package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Event is the progress of an upload.
type Event struct {
	// Sent counts the bytes of blobs that were sent; it falls when an upload
	// starts over. Total counts those that the registry was found to lack so far.
	Sent, Total int64
}

// Hooks are called during a publication. The zero value does nothing.
type Hooks struct {
	// Ready is called before anything is pushed, and again before the tags are
	// written, when all else is there. Its error ends the publication, and no
	// tag is written. If there is nothing to do, it isn't called.
	Ready func(context.Context) error
	// Test is called when the children and the index are there by digest, before
	// attachments and tags. Its error ends the publication. If no tag is to be
	// written, it isn't called.
	Test func(context.Context) error
	// Attach are the attachments. Those that are missing are pushed before the
	// tags are written.
	Attach []Attachment
	// Pushed is called when all but the tags is there, before they are written.
	// Its error ends the publication.
	Pushed func(context.Context) error
	// Check is called by Join with the manifest and config of each child. Its
	// error ends the publication.
	Check Check
	// Progress is called from one goroutine at a time.
	Progress func(Event)
}

// Check compares an image in a repository with what it should be.
type Check func(v1.Descriptor, *v1.Manifest, *v1.ConfigFile) error

// Attachment is a manifest whose subject is the index that is published, or one of
// its children.
type Attachment struct {
	Name     string // for people
	Subject  v1.Hash
	Manifest Manifest
	// Required makes a refusal by the registry an error. Otherwise the attachment
	// is named in Published.NotAttached.
	Required bool
}

// Published says what a publication did.
type Published struct {
	Digest v1.Hash    // of the index
	Tags   []TagState // in the order asked for
	// Uploaded, Mounted and Existing count the blobs of the children that had
	// to be pushed; those of children that were there already are not counted.
	Uploaded, Mounted, Existing int
	Bytes                       int64 // of the blobs uploaded
	Children                    int   // manifests pushed
	// NotAttached names the attachments that the registry refused.
	NotAttached []string
}

// TagState says what became of a tag.
type TagState struct {
	Tag    string
	Pushed bool // false: it had the digest already, and was not written
	// Current is set once the tag is known to have the digest: it had it before,
	// or was read back. After a failure it tells which tags are right.
	Current bool
}

// upload is what one call pushes to one repository.
type upload struct {
	*session
	hooks Hooks

	mu    sync.Mutex
	event Event
	out   Published
	// refused are the attachments that the registry refused.
	refused map[*Attachment]bool
	seen    map[v1.Hash]int // in how many rounds each blob was pushed or found
}

func (c *Client) upload(ctx context.Context, repo name.Repository, h Hooks) (*upload, error) {
	s, err := c.session(ctx, repo, transport.PushScope)
	return &upload{session: s, hooks: h, refused: map[*Attachment]bool{}, seen: map[v1.Hash]int{}}, err
}

// call calls the hook, if there is one.
func call(ctx context.Context, hook func(context.Context) error) error {
	if hook == nil {
		return nil
	}
	return hook(ctx)
}

// pushManifest pushes a manifest as id, after its blobs. what is its name in messages.
func (u *upload) pushManifest(ctx context.Context, what, id string, m Manifest) error {
	op := u.operation("push " + what)
	for round := 0; ; round++ {
		g, gctx := errgroup.WithContext(ctx)
		for _, b := range m.Blobs {
			g.Go(func() error { return u.pushBlob(gctx, b, round) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		err := u.put(ctx, what, id, m)
		if err == nil || !incomplete(err) {
			return err
		}
		if layer := m.missingForeign(err); layer != nil {
			// Without the cause, which would be tried again.
			return &failure{text: fmt.Sprintf("%s: layer %s may be distributed by its owner alone, and the registry refuses images with such layers: allow its address %s there (validation.manifests.urls of distribution's configuration), or use a base without them", err, layer.Digest, strings.Join(layer.URLs, ", "))}
		}
		if err := op.again(ctx, err); err != nil {
			return err
		}
	}
}

// missingForeign returns the layer that may not be distributed and for lack of which
// the registry refused the manifest with err; nil if that isn't the reason.
func (m *Manifest) missingForeign(err error) *v1.Descriptor {
	parsed, perr := v1.ParseManifest(bytes.NewReader(m.Raw))
	if perr != nil {
		return nil
	}
	for i, l := range parsed.Layers {
		if !l.MediaType.IsDistributable() && strings.Contains(err.Error(), l.Digest.Hex) {
			return &parsed.Layers[i]
		}
	}
	return nil
}

// pushBlob makes sure that the repository has the blob. In each round it is checked
// once, whichever manifests refer to it. In round 2 it is uploaded whatever the
// registry says: it was wrong about it twice.
func (u *upload) pushBlob(ctx context.Context, b Blob, round int) error {
	// One at a time: what one repository has got, the next can mount.
	at := u.repo.RegistryStr() + " " + b.Digest.String()
	done, err := u.wire.turns.take(ctx, at)
	if err != nil {
		return err
	}
	defer done()
	u.mu.Lock()
	seen := u.seen[b.Digest]
	u.mu.Unlock()
	if seen > round {
		return nil
	}
	op := u.operation(fmt.Sprintf("push blob %s (%d bytes)", b.Digest, b.Size))
	t := &transfer{u: u, b: b, force: round == 2}
	if !t.force {
		t.from = u.mountFrom(ctx, at, b)
	}
	if err := op.acquire(ctx); err != nil {
		return err
	}
	defer op.release()
	err = op.do(ctx, t.try)
	if errors.Is(err, disk.ErrContent) {
		err = op.do(ctx, t.try) // the cache has dropped what was corrupt
	}
	if err != nil {
		return u.failed(u.repo, op, err)
	}
	u.homes.LoadOrStore(at, u.repo)
	u.count(func(*Published) { u.seen[b.Digest] = round + 1 })
	return nil
}

// mountFrom returns a repository of the same registry to mount the blob from:
// the base's, or one that this process has pushed it to. It is nil if there is
// none, or no permission to read from it.
func (u *upload) mountFrom(ctx context.Context, at string, b Blob) *name.Repository {
	from := b.From
	if home, ok := u.homes.Load(at); ok {
		repo := home.(name.Repository)
		from = &repo
	}
	if from == nil || from.RegistryStr() != u.repo.RegistryStr() || from.RepositoryStr() == u.repo.RepositoryStr() {
		return nil
	}
	if err := u.logIn(ctx, *from); err != nil {
		u.wire.log("%s: not mounting from %s: %v", displayName(u.repo), displayName(*from), err)
		return nil
	}
	return from
}

func (u *upload) count(f func(*Published)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.out)
}

// MayPush begins an upload to the repository and cancels it: an error says why
// that isn't allowed. Reading wouldn't tell a hidden repository from one that the
// first push makes.
func (c *Client) MayPush(ctx context.Context, repo name.Repository) error {
	s, err := c.session(ctx, repo, transport.PushScope)
	if err != nil {
		return err
	}
	return s.try(ctx, "begin an upload", func(ctx context.Context) error {
		resp, err := s.ask(ctx, http.MethodPost, s.url("blobs", "uploads/"), http.StatusAccepted)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if at, err := location(resp); err == nil {
			// If this fails, registries drop unfinished uploads by themselves.
			if gone, err := s.ask(ctx, http.MethodDelete, at, http.StatusNoContent); err == nil {
				gone.Body.Close()
			}
		}
		return nil
	})
}

// advance adds to the progress and reports it. mu is held.
func (u *upload) advance(sent, total int64) {
	u.event.Sent += sent
	u.event.Total += total
	if u.hooks.Progress != nil {
		u.hooks.Progress(u.event)
	}
}

// transfer is a blob on its way.
type transfer struct {
	u     *upload
	b     Blob
	from  *name.Repository // to mount it from; nil: nowhere
	force bool             // upload it even if the registry says it has it

	wanted bool     // the registry was found to lack it
	body   *counted // what is being sent
	sent   int64    // bytes of body that were sent
}

func (t *transfer) try(ctx context.Context) error {
	if !t.force {
		if has, err := t.u.hasBlob(ctx, t.b.Digest); err != nil {
			return err
		} else if has {
			t.u.count(func(o *Published) { o.Existing++ })
			return nil
		}
	}
	to, err := t.begin(ctx, t.from)
	if err != nil {
		return err
	}
	if to == nil {
		t.u.count(func(o *Published) { o.Mounted++ })
		return nil
	}
	if !t.wanted {
		t.wanted = true
		t.u.count(func(*Published) { t.u.advance(0, t.b.Size) })
	}
	if err := t.send(ctx, to); err != nil {
		t.undo()
		return err
	}
	t.u.count(func(o *Published) { o.Uploaded++; o.Bytes += t.b.Size })
	return nil
}

// begin starts the upload (OCI distribution spec, "Pushing a blob
// monolithically") and returns where the data goes. If from is set and the
// registry can mount the blob from there (end-11), there is no upload, and the
// location is nil.
func (t *transfer) begin(ctx context.Context, from *name.Repository) (*url.URL, error) {
	at := t.u.url("blobs", "uploads/")
	if from != nil {
		at.RawQuery = url.Values{"mount": {t.b.Digest.String()}, "from": {from.RepositoryStr()}}.Encode()
	}
	resp, err := t.u.ask(ctx, http.MethodPost, at, http.StatusAccepted, http.StatusCreated)
	if _, ok := errors.AsType[*transport.Error](err); ok && from != nil && !transient(err) {
		return t.begin(ctx, nil) // it may not read there, or knows no mounts
	}
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if from != nil && resp.StatusCode == http.StatusCreated {
		return nil, nil
	}
	return location(resp)
}

// location returns where the answer says to continue. On another host, it must
// not be an address that only this machine or its network can reach.
func location(resp *http.Response) (*url.URL, error) {
	base := resp.Request.URL
	loc, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		// The parser's error would show the query.
		return nil, errors.New("the registry's answer has no usable Location")
	}
	u := base.ResolveReference(loc)
	if u.Hostname() == base.Hostname() {
		return u, nil
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if ip = ip.Unmap(); ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
			return nil, fmt.Errorf("the registry sends the upload to the private address %s", u.Host)
		}
	}
	return u, nil
}

// send uploads the data to where begin said, in one request.
func (t *transfer) send(ctx context.Context, to *url.URL) error {
	// The location's own query is opaque, and kept as it is.
	at := *to
	if at.RawQuery != "" {
		at.RawQuery += "&"
	}
	at.RawQuery += url.Values{"digest": {t.b.Digest.String()}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, at.String(), nil)
	if err != nil {
		return err
	}
	if t.b.Size > 0 {
		req.Body, req.GetBody, req.ContentLength = fromGetBody{}, t.open, t.b.Size
	}
	req.Header.Set("Content-Type", octets)
	resp, err := t.u.do(req, http.StatusCreated, http.StatusNoContent)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// fromGetBody stands in for a body that GetBody returns.
type fromGetBody struct{ io.ReadCloser }

// open opens the data, and starts to count what is sent from zero.
func (t *transfer) open() (io.ReadCloser, error) {
	t.undo()
	rc, err := t.b.Open()
	if err != nil {
		return nil, err
	}
	body := &counted{rc, t}
	t.u.mu.Lock()
	defer t.u.mu.Unlock()
	t.body = body
	return body, nil
}

// undo takes back what was counted as sent.
func (t *transfer) undo() {
	t.u.mu.Lock()
	defer t.u.mu.Unlock()
	t.u.advance(-t.sent, 0)
	t.body, t.sent = nil, 0
}

// counted is a blob's data; what is read of it counts as sent. What net/http still
// reads for a moment after a request has failed doesn't count.
type counted struct {
	io.ReadCloser
	t *transfer
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.t.u.mu.Lock()
	defer c.t.u.mu.Unlock()
	if c.t.body == c {
		c.t.sent += int64(n)
		c.t.u.advance(int64(n), 0)
	}
	return n, err
}
