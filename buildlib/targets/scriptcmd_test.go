package targets_test

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// commands are what scripts have beyond testscript's own. IMAGE is the folder
// of an OCI layout (dist/oci/hello) or a reference to a registry
// ($REGISTRY/hello:latest). What a command prints is matched by stdout, or
// kept by cp stdout FILE and compared by cmp.
//
//	newproject [DIR]                a go.mod that finds multimage, and the shortest magefile where there is none
//	commit [MESSAGE]                git: everything in the current folder, in a new repository if need be
//	registry [-login] [-readonly] [-real] [-fail STATUS:METHOD:PATH]   start one and set $REGISTRY
//	requests                        what the registry was asked since the last time, METHOD PATH STATUS a line
//	base [FLAGS] DIR|REFERENCE      make an alpine-shaped base in which nothing runs; see baseCommand
//	inspect IMAGE [PLATFORM]        the documents as lines of PATH = VALUE
//	digest IMAGE [PLATFORM]         the index's digest, or that of one child
//	layers IMAGE [PLATFORM]         the layers' digests, PLATFORM DIGEST a line
//	tarls IMAGE PLATFORM [REGEXP]   the layers' entries, LAYER MODE UID:GID PATH [-> TARGET] a line; of those /PATHs only
//	tarcat IMAGE PLATFORM PATH      the content of a file as the last layer that has it has it
//	validate IMAGE                  all digests, sizes and diff IDs
//	tree DIR|FILE...                the files, with mode, size and hash: dist as it was
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"newproject": plain(newproject),
	"commit":     plain(commit),
	"registry":   plain(registryCommand),
	"requests":   plain(requests),
	"base":       plain(baseCommand),
	"inspect":    plain(inspect),
	"digest":     plain(digest),
	"layers":     plain(layers),
	"tarls":      plain(tarls),
	"tarcat":     plain(tarcat),
	"validate":   plain(validateCommand),
	"tree":       plain(tree),
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

// state is what commands of one script share.
type state struct {
	tb testing.TB

	mu       sync.Mutex
	requests []string
}

type stateKey struct{}

func of(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

// newproject writes what every project has. The modules are those that
// multimage's own go.mod has, so that go need not tidy, which would ask the
// network.
func newproject(ts *testscript.TestScript, args []string) error {
	dir := "."
	if len(args) == 1 {
		dir = args[0]
	}
	dir = ts.MkAbs(dir)
	root := ts.Getenv("MULTIMAGE")
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(gomod), "\n")
	content := "module example.com/" + strings.ReplaceAll(filepath.Base(dir), " ", "-") + "\n" + rest +
		"\nrequire github.com/multimage/multimage v0.0.0\n" +
		"\nreplace github.com/multimage/multimage => " + strconv.Quote(filepath.ToSlash(root)) + "\n"
	gosum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	files := map[string]string{"go.mod": content, "go.sum": string(gosum)}
	if _, err := os.Stat(filepath.Join(dir, "magefiles")); errors.Is(err, fs.ErrNotExist) {
		files["magefiles/magefile.go"] = "//go:build mage\n\npackage main\n\n" +
			"//mage:import\nimport _ \"github.com/multimage/multimage/buildlib/targets\"\n"
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

func commit(ts *testscript.TestScript, args []string) error {
	message := "A commit"
	if len(args) == 1 {
		message = args[0]
	}
	if _, err := exec.LookPath("git"); err != nil {
		testenv.Missing(of(ts).tb, "git", "git isn't in PATH")
	}
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
	wrong := flags.String("wrong", "", "truncated, dotdot, abslink, bomb, garbage: what is wrong with a layer")
	flags.BoolVar(&b.Merged, "merged", false, "/bin is a link to /usr/bin")
	flags.BoolVar(&b.Docker, "docker", false, "Docker's media types")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: base [FLAGS] DIR|REFERENCE")
	}
	b.Platforms = strings.Split(*platforms, ",")
	b.Attested = !b.Docker
	b.Config = func(_ string, c *v1.ConfigFile) { c.Config.User = *user }
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
