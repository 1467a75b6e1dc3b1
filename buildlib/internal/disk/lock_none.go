//go:build !unix && !windows

package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// lock fails: two runs that write to one folder at once are worse than none.
func lock(*os.File) error {
	return fmt.Errorf("locks on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
