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

// Executables travel with the build cache, too, as outputs of actions of our own,
// so that mains which didn't change aren't linked on a machine that is new. They
// are large, and with a version in them each commit's are others. So of each main
// a note of its digest travels, and itself only when a second build made the same.

const (
	// maxKept is how many bytes of executables a build adds to the cache, or it is one.
	maxKept = 32 << 20
	// maxExecutable is how large one may be, in bytes. They compress to about half.
	maxExecutable = 128 << 20
)

// executablesTravel reports whether they are the same wherever the call runs: a C
// linker is this machine's.
func executablesTravel(call Compile) bool { return !slices.Contains(call.Env, "CGO_ENABLED=1") }

// executableAction names what the cache has of one of the call's mains.
func executableAction(what string, call Compile, m Main) gocache.ID {
	return sha256.Sum256(fmt.Appendf(nil, "multimage %s 1 %q %q %q", what, call.Platform, call.Folder, m.Package))
}

// noteOf is the entry that notes an executable's digest.
func noteOf(call Compile, m Main, digest v1.Hash) gocache.Entry {
	return gocache.Entry{Action: executableAction("digest", call, m), Output: sha256.Sum256([]byte(digest.String())), Size: int64(len(digest.String()))}
}

// adoptExecutables puts those that folder has of the last build into b's kept folder.
func adoptExecutables(ctx context.Context, folder gocache.Folder, call Compile, b gotool.Build) error {
	for _, m := range call.Mains {
		e, path, ok := folder.Find(executableAction("executable", call, m))
		if !ok {
			continue
		}
		digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(e.Output[:])}
		last, _, ok := folder.Find(executableAction("digest", call, m))
		if !ok || last != noteOf(call, m, digest) {
			continue // it was another by then
		}
		if err := b.Adopt(ctx, m.File, path, digest); err != nil {
			return err
		}
	}
	return nil
}

// keepExecutables adds to folder notes of the executables, in the order of the call's
// mains, and those that are as they were noted before, if room says that there is
// room for so many bytes more.
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
			continue // it is a later build's turn
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
