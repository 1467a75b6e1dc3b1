package git

import (
	"bytes"
	"context"
	"os/exec"
	"slices"
	"strings"
)

// Unignored returns those of the names, in the folder dir, that git doesn't
// ignore. There is none where there is no checkout, or no git that could tell.
func Unignored(ctx context.Context, dir string, names []string) []string {
	if _, in, err := find(dir); err != nil || !in {
		return nil
	}
	cmd := command(ctx, dir, "check-ignore", "--no-index", "-z", "--stdin")
	cmd.Stdin = strings.NewReader(strings.Join(names, "\x00") + "\x00")
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) { // 1: none is ignored
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(bytes.Split(out, []byte{0}), func(b []byte) bool { return string(b) == name })
	})
}
