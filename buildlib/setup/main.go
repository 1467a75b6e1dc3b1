// Setup writes magefiles, the targets of a project's container images, for the
// project in the current folder:
//
//	go run github.com/multimage/multimage/buildlib/setup@latest
//
// The folder is a module of its own, so that mage is all that the project's go.mod
// gets. The project's main packages, Dockerfiles, .ko.yaml and images of goreleaser
// become its Project, with comments about what can't be carried over. Setup overwrites
// nothing.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/multimage/multimage/buildlib/setup/internal/adopt"
)

// magefile has a function for each target of package targets, because mage looks for
// imported targets in the project's own module.
//
//go:embed magefile.txt
var magefile string

// packages matches a project.go whose images have packages, which need multimage.lock.
var packages = regexp.MustCompile(`(?m)^\s+Packages:`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := setup(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func setup(ctx context.Context) error {
	if len(os.Args) > 1 {
		return errors.New("takes no arguments: run it in the project's folder")
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "magefiles")
	if entries, err := os.ReadDir(folder); len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s already exists, and setup doesn't change it: move it away, or add the files by hand (README, \"By hand\")", folder)
	}
	project, err := adopt.Project(ctx, dir)
	if err != nil {
		return err
	}
	files := map[string]string{"go.mod": gomod(), "magefile.go": magefile, "project.go": string(project)}
	work, err := goCommand(ctx, dir, nil, "env", "GOWORK")
	if err != nil {
		return err
	}
	inWorkspace := work != "" && work != "off"
	if inWorkspace {
		// Else go would use the project's workspace for magefiles.
		files["go.work"] = "go " + goVersion + "\n\nuse .\n"
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"go.mod", "go.work", "magefile.go", "project.go"} {
		if files[name] == "" {
			continue
		}
		if err := write(filepath.Join(folder, name), files[name]); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "wrote", filepath.Join("magefiles", name))
	}
	env := []string{"GOWORK=off", "GOFLAGS=-mod=mod"}
	_, tidyErr := goCommand(ctx, folder, env, "mod", "tidy")
	mage := "github.com/magefile/mage"
	if version, err := goCommand(ctx, folder, env, "list", "-m", "-f={{.Version}}", mage); tidyErr == nil && err == nil {
		mage += "@" + version
	}
	if tidyErr == nil {
		fmt.Fprintln(os.Stderr, "wrote", filepath.Join("magefiles", "go.sum"))
	} else {
		fmt.Fprintf(os.Stderr, "magefiles/go.sum is yet to be made: %v\n", tidyErr)
	}
	fmt.Fprintln(os.Stderr, "\nRead magefiles/project.go: its comments say what isn't carried over. Then:")
	if tidyErr != nil {
		fmt.Println("go -C magefiles mod tidy")
	}
	for _, command := range next(dir, inWorkspace, mage, packages.Match(project)) {
		fmt.Println(command)
	}
	return nil
}

// next returns the commands that make the first images.
func next(dir string, inWorkspace bool, mage string, locks bool) []string {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		return err == nil
	}
	run := "go -C magefiles tool mage -w .. "
	var commands []string
	if exists("go.mod") {
		run = "go tool mage "
		commands = append(commands, "go get -tool "+mage)
		switch vendored := exists("vendor/modules.txt"); {
		case vendored && inWorkspace:
			commands = append(commands, "go work vendor")
		case vendored:
			commands = append(commands, "go mod vendor")
		}
	}
	if locks {
		commands = append(commands, run+"lock")
	}
	return append(commands, run+"images")
}

// goVersion is the oldest version of Go that multimage's module allows.
const goVersion = "1.26.0"

// gomod returns the go.mod of magefiles. It requires setup's own version of multimage.
func gomod() string {
	text := "module magefiles\n\ngo " + goVersion + "\n\ntool github.com/magefile/mage\n"
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") && !strings.Contains(info.Main.Version, "+dirty") {
		text += "\nrequire " + info.Main.Path + " " + info.Main.Version + "\n"
	}
	return text
}

func write(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// goCommand runs the go command and returns its output.
func goCommand(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
