package git

import (
	"context"
	"fmt"
)

// Worktree checks out the commit into dir, which must not exist, as a work tree of the
// repository at top. remove deletes it.
func Worktree(ctx context.Context, top, revision, dir string) (remove func() error, err error) {
	if _, err := output(ctx, top, "cat-file", "-e", revision+"^{commit}"); err != nil {
		return nil, fmt.Errorf("commit %s is not in %s: fetch it (git fetch origin %s)", revision, top, revision)
	}
	if _, err := output(ctx, top, "worktree", "add", "--detach", "--quiet", dir, revision); err != nil {
		return nil, err
	}
	return func() error {
		_, err := output(context.WithoutCancel(ctx), top, "worktree", "remove", "--force", dir)
		return err
	}, nil
}
