package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// Decompress calls f with the decompressed content of r, whose compression the
// ending of its file's name tells.
func Decompress(ctx context.Context, name string, r io.Reader, f func(io.Reader) error) error {
	switch {
	case strings.HasSuffix(name, ".gz"):
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		return f(z)
	case strings.HasSuffix(name, ".zst"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(512<<20))
		if err != nil {
			return err
		}
		defer z.Close()
		return f(z)
	case strings.HasSuffix(name, ".xz"):
		return xz(ctx, r, f)
	case strings.HasSuffix(name, ".tar") || !strings.Contains(name, "."):
		return f(r)
	}
	return fmt.Errorf("%s: unknown compression", name)
}

// xz decompresses by the program of that name: the standard library can't, and
// every project would depend on one module more.
func xz(ctx context.Context, r io.Reader, f func(io.Reader) error) error {
	cmd := process.Command(ctx, "xz", "--decompress", "--stdout", "--memlimit=512MiB")
	cmd.Stdin = r
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("is compressed by xz, and the program xz isn't here; install it (Debian: apt-get install xz-utils; Alpine: apk add xz; macOS: brew install xz)")
		}
		return err
	}
	if err := f(out); err != nil {
		_ = cmd.Cancel()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		return err
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("xz: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// xattrs is the prefix of the PAX records that hold extended attributes.
const xattrs = "SCHILY.xattr."

// EachEntry calls f with each entry of a tar archive. Devices, and names with ..,
// are an error.
func EachEntry(ctx context.Context, r io.Reader, f func(Entry, io.Reader) error) error {
	t := tar.NewReader(r)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		e := Entry{Type: h.Typeflag, Mode: h.Mode & 0o7777, UID: h.Uid, GID: h.Gid}
		if e.Path, err = CleanPath(h.Name); err != nil {
			return err
		}
		for key, value := range h.PAXRecords {
			if name, ok := strings.CutPrefix(key, xattrs); ok {
				if e.Xattrs == nil {
					e.Xattrs = map[string][]byte{}
				}
				e.Xattrs[name] = []byte(value)
			}
		}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeDir:
		case tar.TypeSymlink:
			e.Link = h.Linkname
			e.Mode = 0o777
		case tar.TypeLink:
			if e.Link, err = CleanPath(h.Linkname); err != nil {
				return fmt.Errorf("hard link %s: %w", e.Path, err)
			}
		default:
			return fmt.Errorf("%s: is neither a file, a directory nor a link (type %q)", e.Path, h.Typeflag)
		}
		if strings.Contains(e.Path, "/.wh.") {
			return fmt.Errorf("%s: its name starts with .wh., which layers use for removals", e.Path)
		}
		if err := f(e, t); err != nil {
			return err
		}
	}
}
