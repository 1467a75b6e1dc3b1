package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func (a *Attachment) digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(a.Manifest.Raw))
	return h, err
}

// attach pushes the attachments that their subjects lack: the children's, then the
// index's. If the index is published and has its own, the children's were attached
// before it, and aren't checked.
func (u *upload) attach(ctx context.Context, published bool) error {
	if err := u.attachAll(ctx, published); err != nil {
		return err
	}
	return call(ctx, u.hooks.Pushed)
}

func (u *upload) attachAll(ctx context.Context, published bool) error {
	bySubject := map[v1.Hash][]*Attachment{}
	for i := range u.hooks.Attach {
		a := &u.hooks.Attach[i]
		bySubject[a.Subject] = append(bySubject[a.Subject], a)
	}
	index := bySubject[u.out.Digest]
	delete(bySubject, u.out.Digest)
	if published && len(index) > 0 {
		missing, err := u.missing(ctx, u.out.Digest, index)
		if err != nil || len(missing) == 0 {
			return err
		}
	}
	if len(u.hooks.Attach) == 0 {
		return nil
	}
	if published {
		if err := call(ctx, u.hooks.Ready); err != nil {
			return err
		}
	}
	g, gctx := u.group(ctx)
	for subject, list := range bySubject {
		g.Go(func() error { return u.attachTo(gctx, subject, list) })
	}
	if err := g.Wait(); err != nil || len(index) == 0 {
		return err
	}
	return u.attachTo(ctx, u.out.Digest, index)
}

// attachTo pushes one attachment after the other: where the registry lacks the
// referrers API, each changes the same tag.
func (u *upload) attachTo(ctx context.Context, subject v1.Hash, list []*Attachment) error {
	list, err := u.missing(ctx, subject, list)
	if err != nil {
		return err
	}
	for _, a := range list {
		digest, err := a.digest()
		if err == nil {
			err = u.pushManifest(ctx, a.Name, digest.String(), a.Manifest)
		}
		switch {
		case err == nil:
		case refused(err) && !a.Required:
			u.wire.log("%s: not attached: %v", a.Name, err)
			u.refuse(a)
		default:
			return fmt.Errorf("attach: %w", err)
		}
	}
	return nil
}

// refuse notes that the registry refused the attachment.
func (u *upload) refuse(a *Attachment) {
	u.count(func(o *Published) {
		u.refused[a] = true
		o.NotAttached = nil
		for i := range u.hooks.Attach {
			if a := &u.hooks.Attach[i]; u.refused[a] {
				o.NotAttached = append(o.NotAttached, a.Name)
			}
		}
	})
}

// missing returns those of the list that the subject doesn't have.
func (u *upload) missing(ctx context.Context, subject v1.Hash, list []*Attachment) ([]*Attachment, error) {
	there, err := u.referrers(ctx, subject)
	if err != nil && !refused(err) {
		return nil, err
	}
	has := map[v1.Hash]bool{}
	for _, d := range there {
		has[d.Digest] = true
	}
	var missing []*Attachment
	for _, a := range list {
		digest, err := a.digest()
		if err != nil {
			return nil, err
		}
		if !has[digest] {
			missing = append(missing, a)
		}
	}
	return missing, nil
}

// refused reports whether a registry refuses for good: it accepts no artifacts, or
// no tag for them.
func refused(err error) bool {
	terr, ok := errors.AsType[*transport.Error](err)
	return ok && terr.StatusCode >= 400 && terr.StatusCode < 500 && !transientStatus(terr.StatusCode)
}
