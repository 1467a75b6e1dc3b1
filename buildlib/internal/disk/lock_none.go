//go:build !unix && !windows

package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// lock fails: two runs that write to the same folder would be worse.
func lock(*os.File) error {
	return fmt.Errorf("locks on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
