package buildlib

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/gocache"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// The build cache also has executables, as outputs of actions of our own, so that a
// new machine doesn't link mains that didn't change. They are large, and if they
// contain a version, each commit's differ. So a build adds a note of each executable's
// digest, and the executable itself only if an earlier build noted the same.

const (
	// maxKept bounds the executables that a build adds to the cache, in bytes. A single
	// one may be larger.
	maxKept = 32 << 20
	// maxExecutable bounds each one, in bytes. They compress to about half.
	maxExecutable = 128 << 20
)

// portableExecutables reports whether a call's executables are the same wherever it
// runs: a C linker is this machine's.
func portableExecutables(call Compile) bool { return !slices.Contains(call.Env, "CGO_ENABLED=1") }

// executableAction is the action ID of the digest or the executable of one of the
// call's mains.
func executableAction(kind string, call Compile, m Main) gocache.ID {
	return sha256.Sum256(fmt.Appendf(nil, "multimage %s 1 %q %q %q", kind, call.Platform, call.Folder, m.Package))
}

// noteOf is the entry that notes an executable's digest.
func noteOf(call Compile, m Main, digest v1.Hash) gocache.Entry {
	return gocache.Entry{Action: executableAction("digest", call, m), Output: sha256.Sum256([]byte(digest.String())), Size: int64(len(digest.String()))}
}

// adoptExecutables puts the last build's executables from folder into b's kept folder.
func adoptExecutables(ctx context.Context, folder gocache.Folder, call Compile, b gotool.Build) error {
	for _, m := range call.Mains {
		e, path, ok := folder.Find(executableAction("executable", call, m))
		if !ok {
			continue
		}
		digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(e.Output[:])}
		last, _, ok := folder.Find(executableAction("digest", call, m))
		if !ok || last != noteOf(call, m, digest) {
			continue // a later build made another
		}
		if err := b.Adopt(ctx, m.File, path, digest); err != nil {
			return err
		}
	}
	return nil
}

// keepExecutables adds notes of the executables to folder, in the order of the call's
// mains, and the executables that were noted before, if room has room for their bytes.
func keepExecutables(folder gocache.Folder, call Compile, executables []gotool.Executable, room func(size int64) bool) error {
	for i, m := range call.Mains {
		e := executables[i]
		note := noteOf(call, m, e.Digest)
		last, _, ok := folder.Find(note.Action)
		if err := folder.Put(note, strings.NewReader(e.Digest.String())); err != nil {
			return err
		}
		if !ok || last != note {
			continue
		}
		entry := gocache.Entry{Action: executableAction("executable", call, m), Size: e.Size}
		if _, err := hex.Decode(entry.Output[:], []byte(e.Digest.Hex)); err != nil {
			return err
		}
		if had, _, ok := folder.Find(entry.Action); (!ok || had != entry) && !room(e.Size) {
			continue // a later build may add it
		}
		if err := keepFile(folder, entry, e.Path); err != nil {
			return err
		}
	}
	return nil
}

func keepFile(folder gocache.Folder, e gocache.Entry, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return folder.Put(e, f)
}
