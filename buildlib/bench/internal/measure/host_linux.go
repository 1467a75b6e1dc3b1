package measure

import (
	"os"
	"strings"
)

func (h *Host) read() {
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		h.CPU = cpuName(string(data))
		if strings.Contains(string(data), " hypervisor ") {
			h.Virtual = "virtual machine"
		}
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		h.Memory = kilobytes(data, "MemTotal:")
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = "Linux " + strings.TrimSpace(string(data))
	}
}

// cpuName is the processor's name in /proc/cpuinfo, whose fields differ from
// architecture to architecture; empty on those that don't say.
func cpuName(info string) string {
	for _, field := range []string{"model name", "Model", "cpu model", "uarch", "cpu"} {
		for line := range strings.Lines(info) {
			name, value, ok := strings.Cut(line, ":")
			if ok && strings.TrimSpace(name) == field {
				return strings.Join(strings.Fields(value), " ")
			}
		}
	}
	return ""
}
