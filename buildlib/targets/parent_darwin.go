package targets

import "golang.org/x/sys/unix"

// lookUp tells of the process with that id (sysctl(3), KERN_PROC_PID).
func lookUp(pid int) (process, bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return process{}, false
	}
	return process{name: unix.ByteSliceToString(info.Proc.P_comm[:]), parent: int(info.Eproc.Ppid)}, true
}
