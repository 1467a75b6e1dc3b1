package packages

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// CapabilityXattr is the extended attribute that holds a file's capabilities.
const CapabilityXattr = "security.capability"

// capabilities are their names by number (capabilities(7), linux/capability.h).
var capabilities = []string{"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio",
	"sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
	"lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
	"perfmon", "bpf", "checkpoint_restore"}

// Capabilities returns the value of CapabilityXattr for a text like
// cap_net_bind_service,cap_net_raw=ep (cap_text_formats(7), of which files need
// a part: names, = or +, and e, i and p).
func Capabilities(text string) (string, error) {
	const revision2, effectiveFlag = 0x02000000, 1
	var permitted, inheritable uint64
	effective := uint64(0)
	clauses := strings.Fields(text)
	if len(clauses) == 0 {
		return "", fmt.Errorf("capabilities %q: is empty; write it like cap_net_bind_service=ep", text)
	}
	for _, clause := range clauses {
		at := strings.IndexAny(clause, "=+")
		if at <= 0 || at == len(clause)-1 || strings.Trim(clause[at+1:], "eip") != "" {
			return "", fmt.Errorf("capabilities %q: write it like cap_net_bind_service=ep", text)
		}
		for name := range strings.SplitSeq(strings.ToLower(clause[:at]), ",") {
			n := slices.Index(capabilities, strings.TrimPrefix(name, "cap_"))
			if n < 0 || !strings.HasPrefix(name, "cap_") {
				return "", fmt.Errorf("capabilities %q: %q is not a capability of Linux (like cap_net_bind_service)", text, name)
			}
			for _, flag := range clause[at+1:] {
				switch bit := uint64(1) << n; flag {
				case 'p':
					permitted |= bit
				case 'i':
					inheritable |= bit
				case 'e':
					effective |= bit
				}
			}
		}
	}
	if effective != 0 && effective != permitted|inheritable {
		return "", fmt.Errorf("capabilities %q: a file has one effective bit for all of them: give e to all or to none", text)
	}
	magic := uint32(revision2)
	if effective != 0 {
		magic |= effectiveFlag
	}
	// struct vfs_cap_data, little-endian on every machine.
	data := binary.LittleEndian.AppendUint32(nil, magic)
	for _, word := range []uint64{permitted, inheritable, permitted >> 32, inheritable >> 32} {
		data = binary.LittleEndian.AppendUint32(data, uint32(word))
	}
	return string(data), nil
}
