package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is what a program sees. The helper gets it as its only argument.
type inside struct {
	Root        string // the folder that becomes /
	Args, Env   []string
	Dir         string // the working directory
	UID, GID    int
	SetUser     bool   // false: the helper has that user already
	Interpreter string // on this machine
}

const (
	// insideName is the helper's name.
	insideName = "multimage-sandbox"
	hostname   = "smoke"
	// unable begins the helper's message if it isn't the program's fault.
	unable = "unable: "
	// interpreterName is the emulator's name in the root folder.
	interpreterName = ".multimage-interpreter"
)

// Namespaces have to be set up from within, between clone and the program. This
// executable does that, whatever it is, when it is started once more as the helper.
func init() {
	if len(os.Args) != 2 || os.Args[0] != insideName || os.Getpid() != 1 {
		return
	}
	runtime.LockOSThread() // capabilities are a thread's
	var in inside
	err := json.Unmarshal([]byte(os.Args[1]), &in)
	if err == nil && in.Root == "" {
		// This only finds out whether namespaces can be made.
		if err = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err == nil {
			os.Exit(0)
		}
		os.Exit(1)
	}
	const pipe = 3
	unix.CloseOnExec(pipe)
	if err == nil {
		err = in.setUp()
	}
	message := unable
	if err == nil {
		message = ""
		err = in.exec()
	}
	_, _ = unix.Write(pipe, []byte(message+err.Error()))
	os.Exit(1)
}

// setUp makes the file system and the network, with as much of a container's /proc
// and /dev as this machine allows.
func (in *inside) setUp() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount /: %w", err)
	}
	if err := syscall.Mount(in.Root, in.Root, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", in.Root, err)
	}
	_ = syscall.Sethostname([]byte(hostname))
	_ = os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0) // as engines do
	loopback()
	proc, dev := filepath.Join(in.Root, "proc"), filepath.Join(in.Root, "dev")
	if folder(proc) == nil {
		_ = syscall.Mount("proc", proc, "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
	}
	if folder(dev) == nil && syscall.Mount("tmpfs", dev, "tmpfs", syscall.MS_NOSUID, "mode=755") == nil {
		devices(dev)
	}
	if in.Interpreter != "" {
		at := filepath.Join(in.Root, interpreterName)
		if err := os.WriteFile(at, nil, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(in.Interpreter, at, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", in.Interpreter, err)
		}
	}
	if err := os.Chdir(in.Root); err != nil {
		return err
	}
	// The old root lies over the new one, and is then unmounted (pivot_root(2)).
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return os.Chdir("/")
}

// folder makes a folder in an image's root, and removes anything else there.
func folder(at string) error {
	info, err := os.Lstat(at)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		_ = os.Remove(at)
	}
	return os.Mkdir(at, 0o755)
}

// devices puts the devices that every container has into dev.
func devices(dev string) {
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		at := filepath.Join(dev, name)
		if os.WriteFile(at, nil, 0o666) == nil {
			_ = syscall.Mount("/dev/"+name, at, "", syscall.MS_BIND, "")
		}
	}
	_ = os.Mkdir(filepath.Join(dev, "shm"), 0o777)
	_ = os.Chmod(filepath.Join(dev, "shm"), 0o1777)
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		_ = os.Symlink(to, filepath.Join(dev, name))
	}
}

// loopback starts the only network interface that a program gets.
func loopback() {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(s)
	if lo, err := unix.NewIfreq("lo"); err == nil {
		lo.SetUint16(unix.IFF_UP)
		_ = unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
	}
}

// exec becomes the program. An error is the program's fault.
func (in *inside) exec() error {
	if dir := path.Clean("/" + in.Dir); os.Chdir(dir) != nil {
		return fmt.Errorf("its working directory %s can't be entered", dir)
	}
	if in.SetUser {
		if err := dropTo(in.UID, in.GID); err != nil {
			return err
		}
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) // a new user loses it
	for _, e := range in.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			os.Setenv("PATH", value)
		}
	}
	program, err := exec.LookPath(in.Args[0])
	if err != nil {
		return fmt.Errorf("its entrypoint can't be run: %w", err)
	}
	args := in.Args
	if in.Interpreter != "" {
		// -0 is its name as the program sees it.
		program, args = "/"+interpreterName, append([]string{interpreterName, "-0", args[0], program}, args[1:]...)
	}
	return fmt.Errorf("its entrypoint %s can't be run: %w", in.Args[0], syscall.Exec(program, args, in.Env))
}

// dropTo switches to a user and one group.
func dropTo(uid, gid int) error {
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("group %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("user %d: %w", uid, err)
	}
	return nil
}
