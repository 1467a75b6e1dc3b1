package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// commands are what scripts have beyond testscript's own. IMAGE is the folder
// of an OCI layout (dist/oci/hello) or a reference to a registry
// ($REGISTRY/hello:latest). What a command prints is matched by stdout, or
// kept by cp stdout FILE and compared by cmp.
//
//	needs PROGRAM...                skip, or fail if TEST_REQUIRE names it, where it isn't there
//	newproject [DIR]                a go.mod that finds multimage, and the shortest magefile where there is none
//	project JSON                    a magefile whose Project is the JSON
//	refuse 'TARGET ARG' REGEXP...   mage fails, says all of these, and leaves dist as it was
//	commit [MESSAGE]                git: everything in the current folder, in a new repository if need be
//	registry [FLAGS]                start one and set $REGISTRY; see registryCommand
//	login HOST...                   set $DOCKER_CONFIG to one that has the login of registry -login
//	requests                        what the registry answered since the last time, METHOD PATH STATUS a line
//	asked METHOD:PATH               wait until the registry is asked that
//	release                         let go what registry -hold holds
//	forget REPOSITORY RECORD        the registry no longer has the image of a record of ci:push
//	base [FLAGS] DIR|REFERENCE      make an alpine-shaped base in which nothing runs; see baseCommand
//	inspect IMAGE [PLATFORM]        the documents as lines of PATH = VALUE
//	digest IMAGE [PLATFORM]         the index's digest, or that of one child
//	manifest REFERENCE              the digest of the image, not an index, that a tag leads to
//	layers IMAGE [PLATFORM]         the layers' digests, PLATFORM DIGEST a line
//	tarls IMAGE PLATFORM [REGEXP]   the layers' entries, LAYER MODE UID:GID PATH [-> TARGET] a line; of those /PATHs only
//	tarcat IMAGE PLATFORM PATH      the content of a file as the last layer that has it has it
//	windowsls IMAGE PLATFORM        the entries of layers for Windows, LAYER PATH OWNER a line: the number of a group
//	validate IMAGE                  all digests, sizes and diff IDs
//	tree DIR|FILE...                the files, with mode, size and hash: dist as it was
//	stamps DIR|FILE...              the files, with mode, inode and time: what was written again
//	damage flip|truncate FILE...    a byte in the middle changed, or the rest cut off
//	contains FILE REGEXP            wait until the file has it
//	smalldisk DIR SIZE              a file system of that size, like 5m
//	terminate                       SIGTERM for the oldest command in the background (kill sends INT and KILL)
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"needs":      plain(needs),
	"newproject": plain(newproject),
	"project":    plain(project),
	"refuse":     plain(refuse),
	"commit":     plain(commit),
	"registry":   plain(registryCommand),
	"login":      plain(login),
	"requests":   printing(requests),
	"asked":      plain(asked),
	"release":    plain(release),
	"forget":     plain(forget),
	"base":       plain(baseCommand),
	"inspect":    printing(inspect),
	"digest":     printing(digest),
	"manifest":   printing(manifest),
	"layers":     printing(layers),
	"tarls":      printing(tarls),
	"tarcat":     printing(tarcat),
	"windowsls":  printing(windowsls),
	"validate":   plain(validateCommand),
	"tree":       printing(tree),
	"stamps":     printing(stamps),
	"damage":     plain(damage),
	"contains":   plain(contains),
	"smalldisk":  plain(smalldisk),
	"terminate":  plain(terminate),
}

// plain makes a command of a function; ! expects its error.
func plain(run func(ts *testscript.TestScript, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := run(ts, args)
		if err != nil {
			fmt.Fprintln(ts.Stderr(), err)
		}
		switch {
		case err != nil && !neg:
			ts.Fatalf("%v", err)
		case err == nil && neg:
			ts.Fatalf("unexpected success")
		}
	}
}

// printing is plain for a command whose output replaces that of the one before,
// also if it is empty.
func printing(run func(ts *testscript.TestScript, args []string) error) func(*testscript.TestScript, bool, []string) {
	return plain(func(ts *testscript.TestScript, args []string) error {
		ts.Stdout()
		return run(ts, args)
	})
}

// state is what commands of one script share.
type state struct {
	tb testing.TB

	mu       sync.Mutex
	requests []string
	release  []chan struct{} // close to answer what is held
}

type stateKey struct{}

func of(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

func needs(ts *testscript.TestScript, args []string) error {
	testenv.Require(of(ts).tb, args...)
	return nil
}

// newproject writes what every project has.
func newproject(ts *testscript.TestScript, args []string) error {
	dir := "."
	if len(args) == 1 {
		dir = args[0]
	}
	dir = ts.MkAbs(dir)
	files, err := goModule(ts.Getenv("MULTIMAGE"), strings.ReplaceAll(filepath.Base(dir), " ", "-"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "magefiles")); errors.Is(err, fs.ErrNotExist) {
		files["magefiles/magefile.go"] = shortestMagefile
	}
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// goModule is the go.mod and go.sum of a module that needs the multimage in the
// folder root. Its modules are those that multimage's own go.mod has, so that
// go need not tidy, which would ask the network.
func goModule(root, name string) (map[string]string, error) {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	gosum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(gomod), "\n")
	return map[string]string{
		"go.mod": "module example.com/" + name + "\n" + rest +
			"\nrequire github.com/multimage/multimage v0.0.0\n" +
			"\nreplace github.com/multimage/multimage => " + strconv.Quote(filepath.ToSlash(root)) + "\n",
		"go.sum": string(gosum),
	}, nil
}

// shortestMagefile is that of a user who configures nothing.
const shortestMagefile = `//go:build mage

package main

//mage:import
import _ "github.com/multimage/multimage/buildlib/targets"
`

// jsonMagefile has in project.json what a user writes in an init function.
const jsonMagefile = `//go:build mage

package main

import (
	"bytes"
	"encoding/json"
	"os"

	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	data, err := os.ReadFile("project.json")
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		err = d.Decode(&targets.Project)
	}
	if err != nil {
		panic(err)
	}
}
`

// project writes a magefile that reads its Project from a file, which compiles
// once for many of them, and the file.
func project(ts *testscript.TestScript, args []string) error {
	magefile := ts.MkAbs("magefiles/magefile.go")
	if data, err := os.ReadFile(magefile); err != nil || string(data) != jsonMagefile {
		if err := os.MkdirAll(filepath.Dir(magefile), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(magefile, []byte(jsonMagefile), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(ts.MkAbs("project.json"), []byte(strings.Join(args, " ")+"\n"), 0o644)
}

func commit(ts *testscript.TestScript, args []string) error {
	message := "A commit"
	if len(args) == 1 {
		message = args[0]
	}
	testenv.Require(of(ts).tb, "git")
	if _, err := os.Stat(ts.MkAbs(".git")); err != nil {
		if err := ts.Exec("git", "init", "-q"); err != nil {
			return err
		}
	}
	if err := ts.Exec("git", "add", "-A"); err != nil {
		return err
	}
	return ts.Exec("git", "commit", "-q", "--allow-empty", "-m", message)
}

// baseCommand makes a base for a script.
func baseCommand(ts *testscript.TestScript, args []string) error {
	tb := of(ts).tb
	b := testenv.Tiny()
	flags := flag.NewFlagSet("base", flag.ContinueOnError)
	platforms := flags.String("platforms", strings.Join(b.Platforms, ","), "what the base has")
	single := flags.Bool("single", false, "the first platform's image, no index")
	user := flags.String("user", "", "the base's own user")
	onbuild := flags.String("onbuild", "", "a trigger of the base")
	checked := flags.Bool("healthcheck", false, "the base has a health check")
	wrong := flags.String("wrong", "", "truncated, dotdot, abslink, bomb, garbage: what is wrong with a layer")
	flags.BoolVar(&b.Merged, "merged", false, "/bin is a link to /usr/bin")
	flags.BoolVar(&b.Foreign, "foreign", false, "the first layer is nowhere to be had")
	flags.BoolVar(&b.Docker, "docker", false, "Docker's media types")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: base [FLAGS] DIR|REFERENCE")
	}
	b.Platforms = strings.Split(*platforms, ",")
	b.Attested = !b.Docker
	b.Config = func(_ string, c *v1.ConfigFile) {
		c.Config.User = *user
		if *checked {
			c.Config.Healthcheck = &v1.HealthConfig{Test: []string{"CMD-SHELL", "true"}, Interval: time.Minute}
		}
		if *onbuild != "" {
			c.Config.OnBuild = []string{*onbuild}
		}
	}
	switch *wrong {
	case "":
	case "truncated":
		b.Layers = []v1.Layer{testenv.Truncated(tb, testenv.Layer(tb, testenv.File("etc/motd", 0o644, strings.Repeat("hello, hello\n", 1000))))}
	case "dotdot":
		b.Entries = []testenv.Entry{testenv.File("../../../etc/passwd", 0o644, "evil:x:0:0::/:/bin/sh\n")}
	case "abslink":
		b.Entries = []testenv.Entry{testenv.Symlink("usr/local/bin", "/../../../../tmp"), testenv.HardLink("etc/passwd", "/etc/shadow")}
	case "bomb":
		b.Layers = []v1.Layer{testenv.Bomb(tb, "etc/passwd", 10<<30)}
	case "garbage":
		b.Layers = []v1.Layer{testenv.RawLayer(tb, []byte("this is neither gzip nor tar"))}
	default:
		return fmt.Errorf("-wrong %s: unknown", *wrong)
	}
	where := flags.Arg(0)
	remote := strings.HasPrefix(where, ts.Getenv("REGISTRY")+"/") && ts.Getenv("REGISTRY") != ""
	switch {
	case *single && remote:
		testenv.Push(tb, where, b.Image(tb, b.Platforms[0]))
	case *single:
		testenv.WriteLayout(tb, ts.MkAbs(where), b.Image(tb, b.Platforms[0]))
	case remote:
		testenv.Push(tb, where, b.Index(tb))
	default:
		testenv.WriteLayout(tb, ts.MkAbs(where), b.Index(tb))
	}
	return nil
}

func terminate(ts *testscript.TestScript, _ []string) error {
	commands := ts.BackgroundCmds()
	if len(commands) == 0 {
		return errors.New("no command runs in the background")
	}
	return commands[0].Process.Signal(syscall.SIGTERM)
}
