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

// Context is a Dockerfile and the files that its COPY can read. Open makes one.
type Context struct {
	File
	Text   []byte // the Dockerfile
	Folder string
	match  *patternmatcher.PatternMatcher
	skip   []string // absolute paths of files and folders that it doesn't contain
}

// maxText bounds the Dockerfile and its ignore file, in bytes.
const maxText = 1 << 20

// Open reads the Dockerfile at path, or in the folder path. The files are those in its
// folder, without those that the ignore file excludes (DOCKERFILE.dockerignore, else
// .dockerignore), both of these files, .git, and skip.
func Open(path string, skip ...string) (*Context, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s doesn't exist: name a Dockerfile, or a folder with one", path)
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

// Digest returns a digest of everything that a build depends on besides its base images:
// the Dockerfile, and the names and contents of the files. It covers what git keeps, so
// no times, owners or empty folders, and of modes only whether a file is executable.
// executable has that by path relative to Folder; if it is nil, the file system is asked.
// Unless into is empty, the files are copied to that folder while they are digested.
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
		skip := slices.Contains(c.skip, path) || strings.EqualFold(e.Name(), ".git")
		if !skip && excluding {
			excluded, err := c.match.MatchesOrParentMatches(filepath.ToSlash(rel))
			if err != nil {
				return fmt.Errorf(".dockerignore: %w", err)
			}
			skip = excluded && !(e.IsDir() && c.match.Exclusions())
		}
		if skip && e.IsDir() {
			return fs.SkipDir
		}
		if skip || e.IsDir() {
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
		return fmt.Errorf("%s is not a file, folder or link: exclude it in .dockerignore", rel)
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

// copyFile writes the file to. Its time is zero, because COPY keeps times.
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
