package targets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/multimage/multimage/buildlib"
)

// Verify rebuilds a published index from its commit, and says whether it is the same
func Verify(ctx context.Context, ref string) error {
	err := run(ctx, func(ctx context.Context, _ *buildlib.Builder, out *console) error {
		over, options, err := overrides(os.Environ())
		if err != nil {
			return err
		}
		options.Progress = out.event
		v, err := Project.Verify(ctx, ref, over, options)
		if err != nil {
			return err
		}
		text := v.Result + ": " + v.Ref
		if v.Difference != nil {
			text += "\n" + v.Difference.Class + ": " + v.Difference.String()
		} else {
			text += " is what commit " + v.Revision + " makes"
		}
		if len(v.Checked) > 0 {
			text += "\nchecked: " + strings.Join(v.Checked, ", ")
		}
		if err := out.result(clean(text) + "\n"); err != nil {
			return err
		}
		out.say("the details are in %s", near(v.File))
		if v.Status() == 0 {
			return nil
		}
		return verifyError{fmt.Errorf("%s: %s", v.Result, ref), v.Status()}
	})
	if _, ok := errors.AsType[verifyError](err); err != nil && !ok {
		return verifyError{err, 3}
	}
	return err
}

// verifyError ends mage with a status: 1 if the two differ, 3 if that is unknown.
type verifyError struct {
	error
	status int
}

func (e verifyError) ExitStatus() int { return e.status }
func (e verifyError) Unwrap() error   { return e.error }
