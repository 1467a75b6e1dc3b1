package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// layouts are the digests of the indexes in an output folder's oci, by image.
// Each must be whole, and one that a run was still writing has no index.json.
func layouts(t *testing.T, output string) map[string]v1.Hash {
	t.Helper()
	found := map[string]v1.Hash{}
	for _, file := range layoutFiles(output) {
		dir := filepath.Dir(file)
		index := openLayout(t, dir)
		there := hashes(t, filepath.Join(dir, "blobs", "sha256"))
		for blob := range blobsOf(t, index) {
			if there[blob] != blob {
				t.Errorf("layout %s: the blob %s has the digest %q", dir, blob, there[blob])
			}
		}
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(dir)] = digest
	}
	return found
}

// layoutFiles are the index.json of finished layouts.
func layoutFiles(output string) []string {
	files, _ := filepath.Glob(filepath.Join(output, "oci", "*", "index.json"))
	return files
}

// blobsOf are the blobs that a layout's one index leads to.
func blobsOf(t *testing.T, index v1.ImageIndex) map[string]bool {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string]bool{digest.Hex: true}
	for _, child := range m.Manifests {
		img, err := index.Image(child.Digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		blobs[child.Digest.Hex] = true
		for _, d := range append(manifest.Layers, manifest.Config) {
			blobs[d.Digest.Hex] = true
		}
	}
	return blobs
}

// openLayout opens the one index of a layout.
func openLayout(t *testing.T, dir string) v1.ImageIndex {
	t.Helper()
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatalf("layout %s: %v", dir, err)
	}
	m, err := all.IndexManifest()
	if err != nil || len(m.Manifests) == 0 {
		t.Fatalf("layout %s: %v, %v", dir, m, err)
	}
	index, err := all.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatalf("layout %s: %v", dir, err)
	}
	return index
}

// hashes are the sha256 of the files below a folder, by path; none if it isn't
// there.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		sum := sha256.Sum256(data)
		found[filepath.ToSlash(rel)] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}
