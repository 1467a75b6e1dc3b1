package dockerfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Context is a Dockerfile and the files that its COPY can take. Use Open.
type Context struct {
	File
	Text   []byte // the Dockerfile
	Folder string
	match  *patternmatcher.PatternMatcher
	skip   []string // files and folders that are no part of it, absolute
}

// maxText bounds the Dockerfile and its ignore file, in bytes.
const maxText = 1 << 20

// Open reads the Dockerfile at path, or that of the folder path. The files are
// those of its folder, but for what the ignore file excludes (DOCKERFILE.dockerignore,
// else .dockerignore), both of these files, .git, and skip.
func Open(path string, skip ...string) (*Context, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: name a folder with a Dockerfile, or the Dockerfile", path)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		path = filepath.Join(path, "Dockerfile")
	}
	c := &Context{}
	if c.Folder, err = filepath.EvalSymlinks(filepath.Dir(path)); err != nil {
		return nil, err
	}
	path = filepath.Join(c.Folder, filepath.Base(path))
	if c.Text, err = readText(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder %s has no Dockerfile", c.Folder)
	} else if err != nil {
		return nil, err
	}
	if c.File, err = Parse(c.Text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	own, shared := path+".dockerignore", filepath.Join(c.Folder, ".dockerignore")
	c.skip = append(skip, own, shared)
	text, err := readText(own)
	if errors.Is(err, fs.ErrNotExist) {
		own = shared
		text, err = readText(shared)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err == nil {
		c.match, err = patternmatcher.New(patterns)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", own, err)
	}
	return c, nil
}

func readText(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxText {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, maxText)
	}
	return os.ReadFile(path)
}

// Digest is of all that goes into a build besides the images it builds on: the
// Dockerfile, and names and contents of the files. Times, owners, empty folders, and
// of modes all but whether a file is executable are left out, because git doesn't
// keep them. executable says it for a path relative to Folder; nil: the file system
// does. Unless into is empty, the files are copied to that folder, as they were
// digested.
func (c *Context) Digest(executable map[string]bool, into string) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", c.Text)
	excluding := len(c.match.Patterns()) > 0
	err := filepath.WalkDir(c.Folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == c.Folder {
			return err
		}
		rel, err := filepath.Rel(c.Folder, path)
		if err != nil {
			return err
		}
		left := slices.Contains(c.skip, path) || strings.EqualFold(e.Name(), ".git")
		if !left && excluding {
			excluded, err := c.match.MatchesOrParentMatches(filepath.ToSlash(rel))
			if err != nil {
				return fmt.Errorf(".dockerignore: %w", err)
			}
			left = excluded && !(e.IsDir() && c.match.Exclusions())
		}
		if left && e.IsDir() {
			return fs.SkipDir
		}
		if left || e.IsDir() {
			return nil
		}
		return c.add(sum, path, filepath.ToSlash(rel), e.Type(), executable, into)
	})
	if err != nil {
		return "", fmt.Errorf("folder %s: %w", c.Folder, err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// add adds a file or link to sum, and copies it.
func (c *Context) add(sum io.Writer, path, rel string, kind fs.FileMode, executable map[string]bool, into string) error {
	to := filepath.Join(into, filepath.FromSlash(rel))
	if into != "" {
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
	}
	if kind == fs.ModeSymlink {
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		target = filepath.ToSlash(target)
		fmt.Fprintf(sum, "link %q %q\n", rel, target)
		if into != "" {
			err = os.Symlink(target, to)
		}
		return err
	}
	if kind != 0 {
		return fmt.Errorf("%s is neither a file nor a folder nor a link: exclude it by .dockerignore", rel)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if executable == nil && info.Mode()&0o111 != 0 || executable[rel] {
		mode = 0o755
	}
	content := sha256.New()
	if into == "" {
		_, err = io.Copy(content, f)
	} else {
		err = copyFile(to, mode, io.TeeReader(f, content))
	}
	fmt.Fprintf(sum, "file %q %o %x\n", rel, mode, content.Sum(nil))
	return err
}

// copyFile makes the file to, with the time zero: COPY keeps times.
func copyFile(to string, mode fs.FileMode, from io.Reader) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Close(), os.Chmod(to, mode)); err != nil { // whatever the umask is
		return err
	}
	return os.Chtimes(to, time.Unix(0, 0), time.Unix(0, 0))
}
