package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// config has parts of the repository's configuration.
type config struct {
	origin    string   // the address of the remote
	disabled  []string // the filters that are not run
	overrides []string // arguments of git that disable them
}

// readConfig reads the configuration. To see whether a file is changed, git runs clean
// filters, which are programs. Those in the user's own configuration may run, but those in
// the checkout's may not, except for Git LFS, which installs itself there and whose
// command is known.
func readConfig(ctx context.Context, top string) (config, error) {
	var c config
	if err := c.read(ctx, top, top); err != nil {
		return c, err
	}
	// Without git-lfs its filter is disabled, too: it would fail whenever git runs it.
	_, err := exec.LookPath("git-lfs")
	hasLFS := err == nil
	for _, driver := range c.disabled {
		clean, process := "", ""
		if driver == "lfs" && hasLFS {
			clean, process = "git-lfs clean -- %f", "git-lfs filter-process"
		}
		key := "filter." + driver + "."
		if strings.Contains(driver, "=") { // then -c can't override it
			return c, fmt.Errorf("the repository's configuration names a filter %q, which can't be turned off: rename it", driver)
		}
		c.overrides = append(c.overrides, "-c", key+"clean="+clean, "-c", key+"process="+process, "-c", key+"required=false")
	}
	c.disabled = slices.DeleteFunc(c.disabled, func(driver string) bool { return driver == "lfs" && hasLFS })
	return c, nil
}

// read adds the configuration of the repository or submodule at dir.
func (c *config) read(ctx context.Context, top, dir string) error {
	out, err := output(ctx, dir, "config", "--null", "--show-scope", "--get-regexp", `^(remote\.origin\.url|filter\..*\.(clean|process))$`)
	if err = allowNotFound(err); err != nil {
		return err
	}
	// SCOPE NUL KEY LF VALUE NUL
	fields := strings.Split(string(out), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		scope := fields[i]
		key, value, _ := strings.Cut(fields[i+1], "\n")
		driver, isFilter := strings.CutPrefix(key, "filter.")
		switch {
		case isFilter && (scope == "local" || scope == "worktree"):
			driver = driver[:strings.LastIndex(driver, ".")]
			if !slices.Contains(c.disabled, driver) {
				c.disabled = append(c.disabled, driver)
			}
		case !isFilter && dir == top:
			c.origin = value // git uses the last one
		}
	}
	return c.readSubmodules(ctx, top, dir)
}

// readSubmodules adds the configurations of the submodules, whose filters git also runs.
func (c *config) readSubmodules(ctx context.Context, top, dir string) error {
	list := filepath.Join(dir, ".gitmodules")
	if _, err := os.Lstat(list); err != nil {
		return nil
	}
	out, err := output(ctx, dir, "config", "--null", "--file", list, "--get-regexp", `^submodule\..*\.path$`)
	if err = allowNotFound(err); err != nil {
		return err
	}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		_, path, _ := strings.Cut(entry, "\n")
		sub, ok := submodule(dir, path)
		if !ok {
			continue
		}
		if err := c.read(ctx, top, sub); err != nil {
			return err
		}
	}
	return nil
}

// submodule is the folder of the submodule at a path of the repository at dir, with
// links resolved, and whether it is checked out. Links may lead back to dir, so it has
// to be below.
func submodule(dir, path string) (string, bool) {
	sub, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil || sub == dir || !disk.Inside(sub, dir) {
		return "", false
	}
	_, err = os.Lstat(filepath.Join(sub, ".git"))
	return sub, err == nil
}

// allowNotFound drops the error of exit status 1 without a message, which means for git
// config, show-ref and check-ignore that they found nothing.
func allowNotFound(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 && len(exit.Stderr) == 0 {
		return nil
	}
	return err
}
