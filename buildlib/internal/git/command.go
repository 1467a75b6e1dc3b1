package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// safe keeps git from running programs in the checkout's configuration: file system
// monitors and hooks. Commands that only read, with their output in a pipe, run no pager,
// alias, signer or diff program.
var safe = []string{"--no-pager", "-c", "core.fsmonitor=", "-c", "core.hooksPath=" + os.DevNull}

// command prepares a git command that runs in the repository at top.
func command(ctx context.Context, top string, args ...string) *exec.Cmd {
	trusted, env := environ(process.Environ())
	cmd := exec.CommandContext(ctx, "git", slices.Concat(safe, trusted, args)...)
	cmd.Dir = top
	cmd.Env = append(env,
		"PWD="+top,
		// With optional locks, git status could conflict with the user's git.
		"GIT_OPTIONAL_LOCKS=0", "LC_ALL=C",
		// A partial clone would fetch missing objects with programs that it names.
		"GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none")
	return cmd
}

// environ removes configuration from the environment: in a hook it belongs to the command
// that runs the hook. trusted are arguments for git with the exception, safe.directory:
// folders of other users that are trusted.
func environ(env []string) (trusted, rest []string) {
	values := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if name == "GIT_CONFIG" || name == "GIT_CONFIG_PARAMETERS" || name == "GIT_CONFIG_COUNT" ||
			strings.HasPrefix(name, "GIT_CONFIG_KEY_") || strings.HasPrefix(name, "GIT_CONFIG_VALUE_") {
			values[name] = value
		} else {
			rest = append(rest, variable)
		}
	}
	count, _ := strconv.Atoi(values["GIT_CONFIG_COUNT"])
	for i := range min(count, len(values)) {
		if n := strconv.Itoa(i); strings.EqualFold(values["GIT_CONFIG_KEY_"+n], "safe.directory") {
			trusted = append(trusted, "-c", "safe.directory="+values["GIT_CONFIG_VALUE_"+n])
		}
	}
	return trusted, rest
}

// output runs a git command and returns what it printed.
func output(ctx context.Context, top string, args ...string) ([]byte, error) {
	return run(command(ctx, top, args...), name(args))
}

// run runs cmd, which is called name in an error.
func run(cmd *exec.Cmd, name string) ([]byte, error) {
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = exit.Stderr
		}
		err = failure(name, err, stderr)
	}
	return out, err
}

// name returns the command in git's arguments.
func name(args []string) string {
	for len(args) > 2 && args[0] == "-c" {
		args = args[2:]
	}
	return args[0]
}

// failure is the error of a git command, with what it printed in one line.
func failure(name string, err error, stderr []byte) error {
	if text := bytes.Join(bytes.Fields(stderr), []byte(" ")); len(text) > 0 {
		return fmt.Errorf("git %s: %w: %s", name, err, text)
	}
	return fmt.Errorf("git %s: %w", name, err)
}
