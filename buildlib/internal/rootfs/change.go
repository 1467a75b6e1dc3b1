package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// change is one path that a layer sets (OCI image spec, layer.md, "Change
// Types"): a directory, a regular file, a symbolic link, or another name of a
// file.
type change struct {
	Path     string // absolute and clean
	Type     byte   // tar.TypeDir, tar.TypeReg, tar.TypeSymlink or tar.TypeLink
	Mode     int64  // permission bits, setuid, setgid and sticky
	UID, GID int
	Link     string            // a symlink's target, or the path of the file that this is another name of
	Xattrs   map[string]string // of a directory, as Node's, or a file
	Security string            // the security descriptor, in a layer for Windows
	Size     int64             // of a file, in bytes
	Digest   v1.Hash           // sha256 of a file's content
	Source   string            // where a file's content is from
	// Identity is that of the file at Source when Digest was computed. As long
	// as it is the same, the content is not hashed again. Zero: unknown.
	Identity disk.Identity
	Open     func() (io.ReadCloser, error)
}

// securityRecord is the PAX record that holds the security descriptor of a file in a
// layer for Windows, in base64 (github.com/Microsoft/go-winio/backuptar).
const securityRecord = "MSWINDOWS.rawsd"

// textFile is the change that makes p a file that holds content.
func textFile(p string, mode int64, content []byte, source string) change {
	sum := sha256.Sum256(content)
	return change{
		Path: p, Type: tar.TypeReg, Mode: mode,
		Size:   int64(len(content)),
		Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])},
		Source: source,
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		},
	}
}

// directory is the change that makes p a directory.
func directory(p string, mode int64, uid, gid int) change {
	return change{Path: p, Type: tar.TypeDir, Mode: mode, UID: uid, GID: gid}
}

// header returns the change's tar header, without times and names of users, so that
// equal changes are equal bytes.
func (c change) header() *tar.Header {
	name := strings.TrimPrefix(c.Path, "/")
	if c.Type == tar.TypeDir {
		name += "/"
	}
	h := &tar.Header{
		Typeflag: c.Type, Name: name, Linkname: c.Link, Size: c.Size,
		Mode: c.Mode, Uid: c.UID, Gid: c.GID, ModTime: time.Unix(0, 0),
	}
	if len(c.Xattrs) > 0 {
		h.PAXRecords = map[string]string{}
	}
	for key, value := range c.Xattrs {
		h.PAXRecords[filetree.XattrPrefix+key] = value
	}
	if c.Security != "" {
		h.PAXRecords = map[string]string{securityRecord: c.Security}
	}
	return h
}

// write writes the change to w, with buf for copying. It is an error if a file's
// content doesn't have the change's digest.
func (c change) write(ctx context.Context, w *tar.Writer, buf []byte) error {
	if err := w.WriteHeader(c.header()); err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	if c.Type != tar.TypeReg {
		return nil
	}
	hashed := c.untouched()
	r, err := c.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	var to io.Writer = &upTo{w, c.Size}
	if !hashed {
		to = io.MultiWriter(sum, to)
	}
	// One byte more than the size, to notice a file that has grown.
	n, err := io.CopyBuffer(to, io.LimitReader(disk.Reader(ctx, r), c.Size+1), buf)
	if err != nil {
		return err
	}
	same := n == c.Size
	if hashed {
		same = same && c.unwritten()
	} else {
		same = same && hex.EncodeToString(sum.Sum(nil)) == c.Digest.Hex
	}
	if !same {
		return &Changed{c.Source, c.Size, c.Digest}
	}
	return nil
}

// Changed is the error of a file that doesn't have, or no longer has, the expected
// content.
type Changed struct {
	Source string  // the file
	Size   int64   // expected, in bytes
	Digest v1.Hash // expected, of the content
}

func (c *Changed) Error() string {
	return fmt.Sprintf("%s has changed while it was read (it had %d bytes, %s); build again", c.Source, c.Size, c.Digest)
}

// untouched reports whether the file is known to have the Digest.
func (c change) untouched() bool {
	id, err := disk.Identify(c.Source)
	return err == nil && id.Same(c.Identity)
}

// unwritten reports whether the file, which was untouched, was not written to since. A
// new hard link may have changed its identity.
func (c change) unwritten() bool {
	id, err := disk.Identify(c.Source)
	return err == nil && id.SameFile(c.Identity) && id.Modified == c.Identity.Modified
}

// upTo drops what is written beyond n bytes.
type upTo struct {
	w io.Writer
	n int64
}

func (u *upTo) Write(p []byte) (int, error) {
	keep := p[:min(int64(len(p)), u.n)]
	u.n -= int64(len(keep))
	if n, err := u.w.Write(keep); err != nil {
		return n, err
	}
	return len(p), nil
}

// tarMode returns the mode bits of a tar header. Permissions may be given in
// Go's form or as in chmod(1), where 0o1000, 0o2000 and 0o4000 are sticky,
// setgid and setuid.
func tarMode(m fs.FileMode) (int64, error) {
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if rest := m &^ (special | 0o7777); rest != 0 {
		return 0, fmt.Errorf("mode %v is more than permissions; write it like 0o644", m)
	}
	bits := int64(m & 0o7777)
	for bit, flag := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits, nil
}
