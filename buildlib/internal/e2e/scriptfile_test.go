package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// tree lists files as they are for those who read them.
func tree(ts *testscript.TestScript, args []string) error {
	return eachFile(ts, args, ts.Stdout(), content)
}

// content is a regular file's size and hash.
func content(name string, info fs.FileInfo) (string, error) {
	if !info.Mode().IsRegular() {
		return "", nil
	}
	data, err := os.ReadFile(name)
	return fmt.Sprintf(" %d %x", len(data), sha256.Sum256(data)), err
}

// stamps lists files as the file system knows them: one that was written
// again, be it with the same bytes, differs.
func stamps(ts *testscript.TestScript, args []string) error {
	return eachFile(ts, args, ts.Stdout(), func(name string, info fs.FileInfo) (string, error) {
		return " " + inode(info) + " " + info.ModTime().Format(time.RFC3339Nano), nil
	})
}

// eachFile prints a line for each file below args, of those that exist.
func eachFile(ts *testscript.TestScript, args []string, w io.Writer, about func(string, fs.FileInfo) (string, error)) error {
	for _, arg := range args {
		root := ts.MkAbs(arg)
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && name == root {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			shown, err := filepath.Rel(filepath.Dir(root), name)
			if err != nil {
				return err
			}
			more, err := about(name, info)
			fmt.Fprintf(w, "%v %s%s\n", info.Mode(), filepath.ToSlash(shown), more)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// damage changes a byte in the middle of files, or cuts them short there, in
// place, as a bad disk would: times are as they were.
func damage(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 || args[0] != "flip" && args[0] != "truncate" {
		return errors.New("usage: damage flip|truncate FILE...")
	}
	for _, arg := range args[1:] {
		name := ts.MkAbs(arg)
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		middle := len(data) / 2
		data[middle] ^= 0xff
		if args[0] == "truncate" {
			data = data[:middle]
		}
		err = errors.Join(
			os.Chmod(name, 0o644), os.WriteFile(name, data, 0o644),
			os.Chmod(name, info.Mode().Perm()), os.Chtimes(name, info.ModTime(), info.ModTime()))
		if err != nil {
			return err
		}
	}
	return nil
}

// contains waits for a file whose content matches, as of a run in the background.
func contains(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: contains FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	if err != nil {
		return err
	}
	return eventually(func() error {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && !want.Match(data) {
			err = fmt.Errorf("%s doesn't match %s:\n%s", args[0], args[1], data)
		}
		return err
	})
}

// smalldisk mounts a file system of its own at DIR.
func smalldisk(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: smalldisk DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := ts.Exec("mount", "-t", "tmpfs", "-o", "size="+args[1], "multimage-test", dir); err != nil {
		testenv.Missing(of(ts).tb, "tmpfs", "can't mount one (needs root)")
	}
	ts.Defer(func() { _ = ts.Exec("umount", "-l", dir) })
	return nil
}

// refuse runs mage, which must fail as all of the regular expressions say, and
// leave what it made before as it was.
func refuse(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: refuse 'TARGET [ARGUMENT...]' REGEXP...")
	}
	results := []string{"dist/bin", "dist/oci", "dist/images.json"}
	var before, after strings.Builder
	look := func(w *strings.Builder) error {
		return eachFile(ts, results, w, func(name string, info fs.FileInfo) (string, error) {
			sum, err := content(name, info) // not the time: go touches what is up to date
			return " " + inode(info) + sum, err
		})
	}
	if err := look(&before); err != nil {
		return err
	}
	if err := ts.Exec("mage", strings.Fields(args[0])...); err == nil {
		return fmt.Errorf("mage %s succeeded", args[0])
	}
	said, printed := ts.ReadFile("stderr"), ts.ReadFile("stdout")
	var errs []error
	if printed != "" {
		errs = append(errs, fmt.Errorf("it printed results: %s", printed))
	}
	for _, arg := range append(args[1:], "^Error: ") {
		want, err := regexp.Compile("(?m)" + arg)
		if err != nil {
			return err
		}
		if !want.MatchString(said) {
			errs = append(errs, fmt.Errorf("standard error doesn't match %s:\n%s", arg, said))
		}
	}
	if strings.Contains(said, "goroutine ") {
		errs = append(errs, errors.New("it panicked"))
	}
	if err := look(&after); err != nil {
		return err
	}
	if before.String() != after.String() {
		errs = append(errs, fmt.Errorf("what it made before has changed:\n%s\nwas:\n%s", after.String(), before.String()))
	}
	return errors.Join(errs...)
}
