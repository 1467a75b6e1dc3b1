package distro

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/multimage/multimage/buildlib/internal/packages"
	"github.com/multimage/multimage/buildlib/internal/process"
)

// release is what a Release file says about the lists of packages.
type release struct {
	files    map[string]string // sha256 by name
	byHash   bool
	optional bool // NotAutomatic: used only if asked for by version
}

// maxRelease bounds a Release file; Debian's have 200 kB.
const maxRelease = 16 << 20

// release fetches the source's InRelease, checks its signature and its dates.
func (s *debSystem) release(ctx context.Context, client *packages.Client, src source) (*release, error) {
	at := src.folder() + "/InRelease"
	var signed []byte
	err := client.Get(ctx, at, func(r io.Reader) (err error) {
		signed, err = io.ReadAll(&limited{r, maxRelease})
		return err
	})
	if err != nil {
		return nil, err
	}
	var text []byte
	if src.trusted {
		text = unsigned(signed)
	} else {
		keys, err := s.keys(src)
		if err != nil {
			return nil, err
		}
		if text, err = gpgv(ctx, signed, keys); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	r, err := parseRelease(string(text), !src.expired)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return r, nil
}

// unsigned returns the text of a signed file.
func unsigned(signed []byte) []byte {
	_, text, found := bytes.Cut(signed, []byte("\n\n"))
	if !found || !bytes.HasPrefix(signed, []byte("-----BEGIN")) {
		return signed
	}
	text, _, _ = bytes.Cut(text, []byte("-----BEGIN PGP SIGNATURE-----"))
	return text
}

// gpgv has the program gpgv check that one of the keys has signed a file, and
// returns its text. Like apt, it needs one good signature of several.
func gpgv(ctx context.Context, signed []byte, keys [][]byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "multimage-gpgv-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "InRelease"), filepath.Join(dir, "Release")
	args := []string{"--homedir", dir, "--status-fd", "1", "--output", out}
	for i, key := range keys {
		keyring := filepath.Join(dir, fmt.Sprintf("keys-%d.gpg", i))
		if err := os.WriteFile(keyring, key, 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--keyring", keyring)
	}
	if err := os.WriteFile(in, signed, 0o600); err != nil {
		return nil, err
	}
	cmd := process.Command(ctx, "gpgv", append(args, in)...)
	var status, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &status, &stderr
	failed := cmd.Run()
	if errors.Is(failed, exec.ErrNotFound) {
		return nil, errors.New("its signature is checked by the program gpgv, which isn't here; install it (Debian: apt-get install gpgv; Alpine: apk add gpgv; macOS: brew install gnupg)")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	good := 0
	for line := range strings.Lines(status.String()) {
		words := strings.Fields(strings.TrimPrefix(line, "[GNUPG:] "))
		switch {
		case len(words) == 0:
		case words[0] == "BADSIG":
			good = -1 << 20
		case words[0] == "GOODSIG":
			good++
		case words[0] == "VALIDSIG" && len(words) > 8 && (words[8] == "1" || words[8] == "2" || words[8] == "3"):
			good-- // MD5, SHA-1, RIPEMD-160: anyone can make those
		}
	}
	if good <= 0 {
		if failed == nil {
			failed = errors.New("no good signature")
		}
		return nil, fmt.Errorf("not signed by a key that the base trusts: gpgv: %w: %s", failed, bytes.TrimSpace(stderr.Bytes()))
	}
	return os.ReadFile(out)
}

func parseRelease(text string, dated bool) (*release, error) {
	s, err := parseStanza(text)
	if err != nil {
		return nil, err
	}
	if until := s.get("valid-until"); until != "" && dated {
		t, err := time.Parse("Mon, _2 Jan 2006 15:04:05 MST", until)
		if err != nil {
			return nil, fmt.Errorf("valid until %q: %w", until, err)
		}
		if time.Now().After(t) {
			return nil, fmt.Errorf("was valid until %s; the mirror is behind, or this machine's clock is wrong", until)
		}
	}
	r := &release{files: map[string]string{}, byHash: s.get("acquire-by-hash") == "yes", optional: s.get("notautomatic") == "yes"}
	for line := range strings.Lines(s.get("sha256")) {
		if words := strings.Fields(line); len(words) == 3 && len(words[0]) == 64 {
			r.files[words[2]] = strings.ToLower(words[0])
		}
	}
	if len(r.files) == 0 {
		return nil, errors.New("has no SHA256 of any file")
	}
	return r, nil
}

// locate returns the URL, the sha256 and the file name of the list called name. It
// prefers gzip, which needs no program.
func (r *release) locate(folder, name string) (at, sum, file string, ok bool) {
	for _, ending := range []string{".gz", ".zst", ".xz", ""} {
		if sum, ok = r.files[name+ending]; ok {
			at = folder + "/" + name + ending
			if r.byHash {
				at = at[:strings.LastIndexByte(at, '/')] + "/by-hash/SHA256/" + sum
			}
			return at, sum, filepath.Base(name + ending), true
		}
	}
	return "", "", "", false
}
