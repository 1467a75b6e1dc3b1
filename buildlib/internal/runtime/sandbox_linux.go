package runtime

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/process"
)

// sandbox unpacks the image and runs the program in namespaces of its own. If this
// process is root, files have the owners that they have in containers; else the
// program owns all.
func (p Program) sandbox(ctx context.Context) error {
	config, err := p.Image.ConfigFile()
	if err != nil {
		return err
	}
	args, err := p.command(config.Config)
	if err != nil {
		return err
	}
	root := os.Geteuid() == 0
	if p.Interpreter != "" {
		if err := static(p.Interpreter); err != nil {
			return err
		}
	}
	if err := tryClone(ctx, root); err != nil {
		return err
	}
	diffIDs, open, err := layersOf(p.Image)
	if err != nil {
		return err
	}
	var eachFile func(string, filetree.Node) error
	if root {
		eachFile = setOwner
	}
	tree, err := filetree.Unpack(ctx, diffIDs, open, p.Dir, eachFile)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	user, err := accountOf(tree, config.Config.User)
	if err != nil {
		return err
	}
	in := inside{
		Root: p.Dir, Args: args, Env: environment(config.Config.Env, user.home), Dir: config.Config.WorkingDir,
		UID: user.uid, GID: user.gid, SetUser: root, Interpreter: p.Interpreter,
	}
	return p.start(ctx, in, root)
}

// start runs the program in the first of the ways that the kernel allows.
func (p Program) start(ctx context.Context, in inside, root bool) error {
	var reasons []string
	for _, users := range ways(root) {
		err := p.enter(ctx, in, users)
		unavailable, ok := errors.AsType[*Unavailable](err)
		if !ok {
			return err
		}
		reasons = append(reasons, unavailable.Reason)
	}
	return &Unavailable{strings.Join(reasons, ", ")}
}

// ways says for each way of making namespaces whether one of them is a user
// namespace, in which even a program that runs as root can do nothing to this
// machine. Root can do without.
func ways(root bool) []bool {
	if root {
		return []bool{true, false}
	}
	return []bool{true}
}

// tryClone finds out whether the kernel lets us make namespaces at all, before an
// image is unpacked.
func tryClone(ctx context.Context, root bool) error {
	var err error
	for _, users := range ways(root) {
		cmd := helper(ctx, inside{}, users)
		if err = cmd.Run(); err == nil {
			return nil
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Unavailable{fmt.Sprintf("the kernel allows no namespaces here (%v): allow them (sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu, kernel.unprivileged_userns_clone=1 on older Debian; in Docker run the container with --security-opt seccomp=unconfined)", err)}
}

// helper is the command of the helper, in new namespaces.
func helper(ctx context.Context, in inside, users bool) *exec.Cmd {
	cmd := process.Command(ctx, "/proc/self/exe")
	data, _ := json.Marshal(in) // of strings and numbers
	cmd.Args = []string{insideName, string(data)}
	cmd.Env = []string{}
	attr := cmd.SysProcAttr
	attr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	if !users {
		return cmd
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	if os.Geteuid() == 0 {
		attr.UidMappings, attr.GidMappings = same("/proc/self/uid_map"), same("/proc/self/gid_map")
		attr.GidMappingsEnableSetgroups = true
		return cmd
	}
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: in.UID, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: in.GID, HostID: os.Getgid(), Size: 1}}
	// Otherwise a helper that isn't root loses all capabilities.
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN}
	return cmd
}

// same maps the IDs of this user namespace to themselves (user_namespaces(7)).
func same(file string) []syscall.SysProcIDMap {
	data, _ := os.ReadFile(file)
	var all []syscall.SysProcIDMap
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.Atoi(f[0])
		size, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil {
			all = append(all, syscall.SysProcIDMap{ContainerID: first, HostID: first, Size: size})
		}
	}
	return all
}

// enter runs the program and waits for it.
func (p Program) enter(ctx context.Context, in inside, users bool) error {
	limited, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	messages, helperEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer messages.Close()
	cmd := helper(limited, in, users)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.ExtraFiles = []*os.File{helperEnd}
	err = cmd.Start()
	helperEnd.Close()
	if err != nil {
		return &Unavailable{fmt.Sprintf("the kernel allows no sandbox: %v", err)}
	}
	// The pipe closes when the program begins, or when the helper has failed.
	message, _ := io.ReadAll(messages)
	err = cmd.Wait()
	why, isOurs := strings.CutPrefix(string(message), unable)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		return p.timeout(out.String())
	case isOurs:
		return &Unavailable{"no sandbox can be made here: " + why}
	case len(message) > 0:
		return &Failed{string(message), out.String()}
	case err != nil:
		return &Failed{err.Error(), out.String()}
	}
	return nil
}

// setOwner gives a file of an unpacked image its owner and extended attributes.
// Programs do without attributes that can't be set, as no file system has all.
func setOwner(path string, n filetree.Node) error {
	if err := os.Lchown(path, n.UID, n.GID); err != nil {
		return err
	}
	for name, value := range n.Xattrs {
		_ = unix.Lsetxattr(path, name, []byte(value), 0)
	}
	return nil
}

// static returns an error if the emulator needs libraries, which an image lacks.
func static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return &Unavailable{fmt.Sprintf("%s is linked dynamically, so it can't run in an image: install %s-static (Debian's qemu-user-static)", path, filepath.Base(path))}
		}
	}
	return nil
}

// environment is the image's, with the variables that engines add.
func environment(env []string, home string) []string {
	has := func(name string) bool {
		return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	}
	if !has("PATH") {
		env = append(env, "PATH="+defaultPath)
	}
	if !has("HOME") {
		env = append(env, "HOME="+home)
	}
	return append(env, "HOSTNAME="+hostname)
}
