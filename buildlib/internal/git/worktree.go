package git

import (
	"context"
	"fmt"
)

// Worktree checks the commit out into dir, which must not be there, as a work
// tree of the repository at top. remove takes it away again.
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
