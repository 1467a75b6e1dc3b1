//go:build !windows && (!unix || aix)

package targets

import "os"

func terminalWidth(*os.File) int { return 0 }
