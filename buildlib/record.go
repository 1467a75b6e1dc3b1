package buildlib

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/multimage/multimage/buildlib/internal/base"
)

// Record describes the image for one platform, which Push has pushed by digest,
// with all that goes into the index. Builder.Push writes records as JSON files
// and Builder.Merge reads them; the keys containerimage.* are those of docker
// buildx's metadata file. A record holds no secrets, and nothing that identifies the
// machine that wrote it.
type Record struct {
	// Format is recordFormat. Its key tells a record from other JSON files.
	Format       int           `json:"multimage.record"`
	Image        string        `json:"image"`
	Platform     Platform      `json:"platform"` // OS/ARCH[/VARIANT]
	Digest       v1.Hash       `json:"containerimage.digest"`
	ConfigDigest v1.Hash       `json:"containerimage.config.digest"`
	Descriptor   v1.Descriptor `json:"containerimage.descriptor"` // with the platform
	Size         int64         `json:"size"`                      // bytes to pull: manifest, config and layers
	Version      string        `json:"version"`
	Revision     string        `json:"revision"`        // empty without git
	Dirty        bool          `json:"dirty,omitempty"` // whether tracked files differed from the commit
	Created      time.Time     `json:"created"`         // the epoch
	Base         *RecordBase   `json:"base,omitempty"`
	Go           RecordGo      `json:"go"`
	// Repositories are those that the image was pushed to.
	Repositories []string `json:"repositories"`
	// Smoke is the image's test. Nil: the image has no Smoke.
	Smoke *RecordSmoke `json:"smoke,omitempty"`
	// Contents describe the image for the evidence of the index. Empty without
	// evidence.
	Contents json.RawMessage `json:"contents,omitempty"`
}

// RecordBase is the base of an image; nil is scratch.
type RecordBase struct {
	Name  string  `json:"name,omitempty"` // in full; empty for an oci:PATH
	Index v1.Hash `json:"digest"`         // what Name led to: the index of all platforms, or a single image
	Child v1.Hash `json:"child"`          // the platform's image in it
}

// RecordSmoke is the test of an image's program.
type RecordSmoke struct {
	Args   []string `json:"args"`   // as PlatformPlan.Smoke
	Passed bool     `json:"passed"` // false: the machine couldn't run it
}

// RecordGo is what the binaries' bytes depend on besides their source; it must be
// the same on all machines that build for one index. It holds digests because flags
// may name folders of the machine.
type RecordGo struct {
	Version string `json:"version"` // of the toolchain, like go1.26.8
	// Settings is a digest of GOFLAGS, GOEXPERIMENT and GOFIPS140 in effect.
	Settings string `json:"settings"`
	// Build is a digest of the GoBuilds of the image's binaries, before their
	// templates are executed, because the results may differ between platforms.
	Build string `json:"build"`
}

const (
	recordFormat = 1
	recordKey    = `"multimage.record"`
	// recordLimit bounds a record's file, in bytes. One with a hundred
	// repositories takes 10 kB; one that names ten thousand files, a megabyte.
	recordLimit = 16 << 20
)

// recordName is the name of a record's file. Names of images have no +, and those
// of platforms no + or -, so each record has a name of its own. It has no character
// that a file system or GitHub's artifacts refuse.
func recordName(of item) string {
	return strings.ReplaceAll(of.name, "/", "+") + "+" + of.platform.dashed() + ".json"
}

// dashed is the platform as a part of a file's name, a tag or a key.
func (p Platform) dashed() string { return strings.ReplaceAll(p.String(), "/", "-") }

var recordFile = regexp.MustCompile(`^[a-z0-9._+-]+\+(linux|windows)-[a-z0-9]+(-[a-z0-9._]+)?\.json$`)

// isRecord reports whether a JSON file is a record, whole or damaged: by its
// content or, if nothing of that is left, by its name.
func isRecord(path string, data []byte) bool {
	return bytes.Contains(data, []byte(recordKey)) || recordFile.MatchString(filepath.Base(path))
}

func (r *Record) encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	return append(data, '\n'), err
}

// decodeRecord reads a record, and checks that it is complete and consistent.
func decodeRecord(data []byte) (Record, error) {
	var r Record
	if len(data) > recordLimit {
		return r, fmt.Errorf("more than %d bytes", recordLimit)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if err := uniqueKeys(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return r, err
	}
	switch {
	case r.Format == 0:
		return r, fmt.Errorf("it has no %s", recordKey)
	case r.Format != recordFormat:
		return r, fmt.Errorf("%s is %d, not %d: push and merge with the same version of multimage", recordKey, r.Format, recordFormat)
	}
	d := r.Descriptor
	switch {
	case r.Platform == Platform{}:
		return r, errors.New("its platform is missing")
	case r.Image == "" || r.Version == "" || r.Created.IsZero():
		return r, errors.New("image, version or created is missing")
	case d.MediaType != types.OCIManifestSchema1:
		return r, fmt.Errorf("its image is a %q", d.MediaType)
	case d.Platform == nil || !withoutOSVersion(*d.Platform).Equals(r.Platform.spec()):
		return r, fmt.Errorf("its descriptor is not for %s", r.Platform)
	case d.Digest != r.Digest:
		return r, errors.New("its digest and that of its descriptor differ")
	case !isSHA256(r.Digest) || !isSHA256(r.ConfigDigest):
		return r, errors.New("it lacks a sha256 digest")
	case d.Size <= 0 || r.Size <= d.Size:
		return r, errors.New("its sizes can't be right")
	case r.Go.Version == "" || r.Go.Settings == "" || r.Go.Build == "":
		return r, errors.New("the Go that built it is missing")
	case r.Base != nil && (!isSHA256(r.Base.Index) || !isSHA256(r.Base.Child)):
		return r, errors.New("its base lacks a sha256 digest")
	}
	words := append([]string{r.Image, r.Version, r.Revision, r.Go.Version, r.Go.Settings, r.Go.Build}, r.Repositories...)
	if r.Base != nil {
		words = append(words, r.Base.Name)
	}
	for _, word := range words {
		if !utf8.ValidString(word) || strings.ContainsFunc(word, func(c rune) bool { return !unicode.IsPrint(c) }) || len(word) > maxWord {
			return r, fmt.Errorf("%q... is not a valid name, version or digest", word[:min(len(word), 40)])
		}
	}
	return r, nil
}

// maxWord bounds a name in a record, in bytes. A repository's has at most 255
// besides the registry's.
const maxWord = 1000

// uniqueKeys is an error if an object has a key twice: readers differ in which of
// the two they take. To encoding/json, keys that differ only in case are equal.
func uniqueKeys(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := strings.ToLower(fmt.Sprint(key))
			if seen[name] {
				return fmt.Errorf("it has the key %.40q twice", key)
			}
			seen[name] = true
		}
		if err := uniqueKeys(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func isSHA256(h v1.Hash) bool { return h.Algorithm == "sha256" && len(h.Hex) == 64 }

// withoutOSVersion drops the version and features of the system, which the base
// decides.
func withoutOSVersion(p v1.Platform) v1.Platform {
	p.OSVersion, p.OSFeatures = "", nil
	return p
}

// subject is the image and the platform that the record describes.
func (r *Record) subject() item { return item{r.Image, r.Platform} }

func recordBase(b *base.Base) *RecordBase {
	if b == nil {
		return nil
	}
	return &RecordBase{Name: b.Name, Index: b.Index, Child: b.Digest}
}

// readLimited reads a file up to one byte beyond limit, which shows that it is longer.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// checkSmoke is an error unless the image's program passed the test that the plan has
// for it.
func (r *Record) checkSmoke(pp *PlatformPlan) error {
	switch {
	case pp.Smoke == nil:
		return nil
	case r.Smoke == nil || !slices.Equal(r.Smoke.Args, pp.Smoke):
		return fmt.Errorf("it was not tested with its Smoke (entrypoint with %q)", pp.Smoke)
	case !r.Smoke.Passed:
		return errors.New("its Smoke was not run, because the machine that pushed it can't run it")
	}
	return nil
}
