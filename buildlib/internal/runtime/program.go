package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Program is the program of an image, to be run once without a network.
type Program struct {
	Image v1.Image
	Args  []string // of the entrypoint, instead of the image's Cmd
	Limit time.Duration
	// Interpreter is the emulator on this machine that runs it. Empty: the kernel
	// does.
	Interpreter string
	Dir         string // an empty folder for its files
	// Engine runs it where there are no namespaces, if it is docker or podman. Else
	// it is the first that answers.
	Engine string
}

// Failed is the error of a program that ran and failed.
type Failed struct {
	Why    string
	Output string // the end of what it printed, without control characters
}

func (f *Failed) Error() string {
	if f.Output == "" {
		return f.Why + ", and it printed nothing"
	}
	return f.Why + "; it printed:\n" + f.Output
}

// Unavailable is the error if this machine can't run the program.
type Unavailable struct{ Reason string }

func (u *Unavailable) Error() string { return u.Reason }

// timeout is the error of a program that takes longer than its limit.
func (p Program) timeout(output string) error {
	return &Failed{fmt.Sprintf("it was still running after %s", p.Limit), output}
}

// command is the program with its arguments, as the image's configuration says.
func (p Program) command(config v1.Config) ([]string, error) {
	all := slices.Concat(config.Entrypoint, p.Args)
	if len(all) == 0 {
		return nil, errors.New("the image has no entrypoint to run")
	}
	return all, nil
}

// defaultPath is PATH where the image doesn't set it, as with runc, Docker and
// Podman.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// account is who a program runs as.
type account struct {
	uid, gid int
	home     string
}

// accountOf finds an image's user (OCI image spec, config.md, "User"): a name or
// number, and perhaps a group.
func accountOf(t *filetree.Tree, user string) (account, error) {
	a := account{home: "/"}
	name, group, grouped := strings.Cut(cmp.Or(user, "0"), ":")
	number, notANumber := strconv.Atoi(name)
	known := false
	for _, f := range records(t, "/etc/passwd", 7) {
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil && (f[0] == name || notANumber == nil && uid == number) {
			a, known = account{uid, gid, cmp.Or(f[5], "/")}, true
			break
		}
	}
	if !known {
		if notANumber != nil {
			return a, fmt.Errorf("user %q is not in the image's /etc/passwd", wording.Clip(name))
		}
		a.uid = number
	}
	if !grouped || group == "" {
		return a, nil
	}
	if gid, err := strconv.Atoi(group); err == nil {
		a.gid = gid
		return a, nil
	}
	for _, f := range records(t, "/etc/group", 3) {
		if gid, err := strconv.Atoi(f[2]); err == nil && f[0] == group {
			a.gid = gid
			return a, nil
		}
	}
	return a, fmt.Errorf("group %q is not in the image's /etc/group", wording.Clip(group))
}

// records are the lines of an account file that have at least that many fields.
func records(t *filetree.Tree, file string, fields int) [][]string {
	data, _ := t.File(file)
	var all [][]string
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= fields {
			all = append(all, f)
		}
	}
	return all
}

// layersOf returns what filetree.Unpack takes of an image.
func layersOf(img v1.Image) ([]v1.Hash, func(i int) (io.ReadCloser, error), error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, nil, err
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return nil, nil, fmt.Errorf("it has %d layers, but its config says %d", len(layers), len(config.RootFS.DiffIDs))
	}
	return config.RootFS.DiffIDs, func(i int) (io.ReadCloser, error) { return layers[i].Compressed() }, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	data []byte
	cut  bool
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if extra := len(t.data) - tailSize; extra > 0 {
		t.data, t.cut = append([]byte(nil), t.data[extra:]...), true
	}
	return len(p), nil
}

func (t *tail) String() string {
	text := wording.Lines(string(t.data))
	if t.cut && text != "" {
		text = "..." + text
	}
	return text
}
