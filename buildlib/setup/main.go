// Setup writes magefiles, the targets of a project's container images, for the
// project in the current folder:
//
//	go run github.com/multimage/multimage/buildlib/setup@latest
//
// The folder is a module of its own, so that the project's go.mod stays as it
// is, but for mage. What the project has (main packages, Dockerfiles, .ko.yaml,
// goreleaser's images) becomes its Project; what can't be carried over is a
// comment there. Setup overwrites nothing.
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

// magefile has the targets of package targets, each as a function: mage looks
// for what a magefile imports in the project's own module.
//
//go:embed magefile.txt
var magefile string

// packages matches a project.go whose images have packages, which have to be chosen.
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
		return fmt.Errorf("%s is there already, and nothing in it is changed: move it away, or write the files beside it by hand (README, \"By hand\")", folder)
	}
	project, err := adopt.Project(ctx, dir)
	if err != nil {
		return err
	}
	files := map[string]string{"go.mod": gomod(), "magefile.go": magefile, "project.go": string(project)}
	work, err := goSays(ctx, dir, nil, "env", "GOWORK")
	if err != nil {
		return err
	}
	if work != "" && work != "off" {
		// Else go would look for what magefiles import in the project's workspace.
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
	own := []string{"GOWORK=off", "GOFLAGS=-mod=mod"}
	_, tidied := goSays(ctx, folder, own, "mod", "tidy")
	mage := "github.com/magefile/mage"
	if version, err := goSays(ctx, folder, own, "list", "-m", "-f={{.Version}}", mage); tidied == nil && err == nil {
		mage += "@" + version
	}
	if tidied == nil {
		fmt.Fprintln(os.Stderr, "wrote", filepath.Join("magefiles", "go.sum"))
	} else {
		fmt.Fprintf(os.Stderr, "magefiles/go.sum is yet to be made: %v\n", tidied)
	}
	fmt.Fprintln(os.Stderr, "\nRead magefiles/project.go: its comments say what isn't carried over. Then:")
	if tidied != nil {
		fmt.Println("go -C magefiles mod tidy")
	}
	for _, command := range next(dir, work, mage, packages.Match(project)) {
		fmt.Println(command)
	}
	return nil
}

// next are the commands that make the first images.
func next(dir, work, mage string, locks bool) []string {
	run := "go tool mage "
	var commands []string
	_, err := os.Stat(filepath.Join(dir, "vendor", "modules.txt"))
	if _, none := os.Stat(filepath.Join(dir, "go.mod")); none != nil {
		run = "go -C magefiles tool mage -w .. "
		err = none // nothing to vendor
	} else {
		commands = append(commands, "go get -tool "+mage)
	}
	switch {
	case err == nil && work != "" && work != "off":
		commands = append(commands, "go work vendor")
	case err == nil:
		commands = append(commands, "go mod vendor")
	}
	if locks {
		commands = append(commands, run+"lock")
	}
	return append(commands, run+"images")
}

// goVersion is the least that multimage's modules ask for.
const goVersion = "1.26.0"

// gomod is that of magefiles. It takes the version of multimage that setup is of.
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

// goSays runs the go command and returns what it prints.
func goSays(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
