package layout

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// containerdName is the annotation with the full name that containerd and Podman give
// an image that they import (github.com/containerd/containerd/images,
// AnnotationImageName). RefName is then the tag alone, as docker save, buildx and ctr
// write it.
const containerdName = "io.containerd.image.name"

// WriteArchive writes a layout of the index as a tar, an OCI archive: the same bytes
// for the same index. Of the options it uses Tags and Images, which are full names
// here, like docker.io/library/router:1.2. If the cache's copy of a blob is corrupt,
// the error is a disk.ErrContent.
func WriteArchive(ctx context.Context, to io.Writer, idx v1.ImageIndex, o Options) error {
	raw, err := idx.RawManifest()
	if err != nil {
		return err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	list := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	list.Manifests, err = o.tagged(v1.Descriptor{MediaType: types.OCIImageIndex, Digest: digest, Size: size}, m)
	if err != nil {
		return err
	}
	for _, d := range list.Manifests {
		if full := d.Annotations[RefName]; full != "" {
			d.Annotations[containerdName], d.Annotations[RefName] = full, full[strings.LastIndex(full, ":")+1:]
		}
	}
	table, err := json.Marshal(list)
	if err != nil {
		return err
	}
	blobs, err := blobsOf(idx, m)
	if err != nil {
		return err
	}
	blobs = append(blobs, inMemory(digest, raw))
	slices.SortFunc(blobs, func(a, b blob) int { return cmp.Compare(a.digest.Hex, b.digest.Hex) })
	blobs = slices.CompactFunc(blobs, func(a, b blob) bool { return a.digest == b.digest })

	w := tar.NewWriter(to)
	add := func(name string, size int64, from io.Reader) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		_, err := io.Copy(w, disk.Reader(ctx, from))
		return err
	}
	if err := add("oci-layout", int64(len(layoutFile)), bytes.NewReader([]byte(layoutFile))); err != nil {
		return err
	}
	if err := add("index.json", int64(len(table)), bytes.NewReader(table)); err != nil {
		return err
	}
	for _, b := range blobs {
		rc, err := b.open()
		if err == nil {
			err = add(blobName(b.digest), b.size, rc)
			rc.Close()
		}
		if err != nil {
			return fmt.Errorf("blob %s: %w", b.digest, err)
		}
	}
	return w.Close()
}
