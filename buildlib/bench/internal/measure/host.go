package measure

import (
	"runtime"
)

// Host is the machine that measures. What the system doesn't tell is zero.
type Host struct {
	Platform string // OS/ARCH
	CPU      string // the processor's name
	Cores    int    // that this process may use
	Memory   int64  // bytes
	Kernel   string
	// Virtual says that it is a virtual machine; empty: not that it isn't.
	Virtual string
}

// ReadHost looks at the machine.
func ReadHost() Host {
	h := Host{Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU()}
	h.read()
	return h
}
