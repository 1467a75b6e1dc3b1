//go:build !linux

package runtime

import (
	"context"
	goruntime "runtime"
)

// sandbox is for Linux only.
func (p Program) sandbox(context.Context) error {
	return &Unavailable{"there is no sandbox for it on " + goruntime.GOOS}
}
