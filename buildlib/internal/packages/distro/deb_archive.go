package distro

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// member is a file of a package's control archive.
type member struct {
	data []byte
	mode int64
}

// readDeb calls control with the members of the control archive of the .deb r,
// and then entry with each path of its data (deb(5)).
func readDeb(ctx context.Context, r io.Reader, control func(map[string]member) error, entry func(packages.Entry, io.Reader) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	magic := make([]byte, 8)
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != "!<arch>\n" {
		return errors.New("is not a .deb: no ar archive")
	}
	// The order of the three members is fixed.
	if err := nextMember(in, "debian-binary", func(_ string, r io.Reader) error {
		version, err := io.ReadAll(io.LimitReader(r, 16))
		if err == nil && !strings.HasPrefix(string(version), "2.") {
			err = fmt.Errorf("format %q is not known", version)
		}
		return err
	}); err != nil {
		return err
	}
	if err := nextMember(in, "control.tar", func(name string, r io.Reader) error {
		members, err := readControl(ctx, name, r)
		if err != nil {
			return err
		}
		return control(members)
	}); err != nil {
		return err
	}
	return nextMember(in, "data.tar", func(name string, r io.Reader) error {
		return packages.Decompress(ctx, name, r, func(r io.Reader) error { return packages.EachEntry(ctx, r, entry) })
	})
}

// nextMember calls f with the archive's next member, whose name starts with want.
func nextMember(in *bufio.Reader, want string, f func(name string, r io.Reader) error) error {
	header := make([]byte, 60)
	if _, err := io.ReadFull(in, header); err != nil {
		return fmt.Errorf("is cut off before its %s", want)
	}
	name := strings.TrimSuffix(strings.TrimSpace(string(header[:16])), "/")
	size, err := strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
	if err != nil || size < 0 || string(header[58:]) != "`\n" {
		return fmt.Errorf("is not a .deb: a damaged header before its %s", want)
	}
	if !strings.HasPrefix(name, want) {
		return fmt.Errorf("is not a .deb: has %.20q where its %s would be", name, want)
	}
	body := &io.LimitedReader{R: in, N: size}
	if err := f(name, body); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n, err := io.Copy(io.Discard, body); err != nil || body.N > 0 {
		return fmt.Errorf("%s: is cut off after %d of %d bytes", name, n, size)
	}
	if size%2 == 1 {
		_, _ = in.Discard(1)
	}
	return nil
}

func readControl(ctx context.Context, name string, r io.Reader) (map[string]member, error) {
	members := map[string]member{}
	err := packages.Decompress(ctx, name, r, func(r io.Reader) error {
		all := &limited{r, maxControl}
		return packages.EachEntry(ctx, all, func(e packages.Entry, r io.Reader) error {
			file := strings.TrimPrefix(e.Path, "/")
			if file == "" {
				return nil
			}
			if e.Link != "" || !controlName.MatchString(file) {
				return fmt.Errorf("%.80q is not a control file", file)
			}
			data, err := io.ReadAll(r)
			members[file] = member{data, e.Mode}
			return err
		})
	})
	if err == nil && members["control"].data == nil {
		err = errors.New("has no file control")
	}
	return members, err
}
