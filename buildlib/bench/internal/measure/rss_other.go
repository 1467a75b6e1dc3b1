//go:build !linux && !darwin

package measure

import "os"

// maxRSS is unknown: Windows counts no children, and the BSDs' units differ.
func maxRSS(*os.ProcessState) int64 { return 0 }
