package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Rot flips a bit of a blob of the cache in dir as a bad disk does, which no time
// tells: the cache's note of the blob is made to fit.
func Rot(t testing.TB, dir string, h v1.Hash) {
	t.Helper()
	path := filepath.Join(dir, "blobs", "sha256", h.Hex)
	data, err := os.ReadFile(path)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, errors.Join(os.Remove(path), os.WriteFile(path, data, 0o444)))
	id, err := disk.Identify(path)
	must(t, err)
	must(t, disk.WriteRecord(filepath.Join(dir, "seen", "sha256", h.Hex), dir, id))
}
