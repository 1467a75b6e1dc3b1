package emulate

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// arch is an architecture of Linux that both Go and QEMU know.
type arch struct {
	qemu    string // QEMU's name of it
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder
	flags   uint32
	// code is the machine code, in hexadecimal, of read(0, sp, 1) and exit(0):
	// the registers of the arguments and the system call's number are set one by
	// one, then the kernel is called, twice. A test runs each.
	code string
}

// arches are keyed by GOARCH.
var arches = map[string]arch{
	"386":      {"i386", elf.EM_386, elf.ELFCLASS32, binary.LittleEndian, 0, "b803000000 31db 89e1 ba01000000 cd80 b801000000 31db cd80"},
	"amd64":    {"x86_64", elf.EM_X86_64, elf.ELFCLASS64, binary.LittleEndian, 0, "31c0 31ff 4889e6 ba01000000 0f05 b83c000000 31ff 0f05"},
	"arm":      {"arm", elf.EM_ARM, elf.ELFCLASS32, binary.LittleEndian, 0x05000000, "0000a0e3 0d10a0e1 0120a0e3 0370a0e3 000000ef 0000a0e3 0170a0e3 000000ef"},
	"arm64":    {"aarch64", elf.EM_AARCH64, elf.ELFCLASS64, binary.LittleEndian, 0, "000080d2 e1030091 220080d2 e80780d2 010000d4 000080d2 a80b80d2 010000d4"},
	"loong64":  {"loongarch64", elf.EM_LOONGARCH, elf.ELFCLASS64, binary.LittleEndian, 0x43, "04008003 65001500 06048003 0bfc8003 00002b00 04008003 0b748103 00002b00"},
	"mips":     {"mips", elf.EM_MIPS, elf.ELFCLASS32, binary.BigEndian, 0x50001005, "24040000 03a02825 24060001 24020fa3 0000000c 24040000 24020fa1 0000000c"},
	"mips64":   {"mips64", elf.EM_MIPS, elf.ELFCLASS64, binary.BigEndian, 0x60000005, "24040000 03a02825 24060001 24021388 0000000c 24040000 240213c2 0000000c"},
	"mips64le": {"mips64el", elf.EM_MIPS, elf.ELFCLASS64, binary.LittleEndian, 0x60000005, "00000424 2528a003 01000624 88130224 0c000000 00000424 c2130224 0c000000"},
	"mipsle":   {"mipsel", elf.EM_MIPS, elf.ELFCLASS32, binary.LittleEndian, 0x50001005, "00000424 2528a003 01000624 a30f0224 0c000000 00000424 a10f0224 0c000000"},
	"ppc64":    {"ppc64", elf.EM_PPC64, elf.ELFCLASS64, binary.BigEndian, 2, "38600000 7c240b78 38a00001 38000003 44000002 38600000 38000001 44000002"},
	"ppc64le":  {"ppc64le", elf.EM_PPC64, elf.ELFCLASS64, binary.LittleEndian, 2, "00006038 780b247c 0100a038 03000038 02000044 00006038 01000038 02000044"},
	"riscv64":  {"riscv64", elf.EM_RISCV, elf.ELFCLASS64, binary.LittleEndian, 4, "13050000 93050100 13061000 9308f003 73000000 13050000 9308d005 73000000"},
	"s390x":    {"s390x", elf.EM_S390, elf.ELFCLASS64, binary.BigEndian, 0, "a7290000 b904003f a7490001 0a03 a7290000 0a01"},
}

// program returns an executable of the architecture, as small as the ELF
// specification allows: one segment, which is the whole file.
func (a arch) program() []byte {
	code, _ := hex.DecodeString(strings.ReplaceAll(a.code, " ", ""))
	const (
		base  = 0x400000
		align = 0x10000 // the largest page of any of the architectures
	)
	data := elf.ELFDATA2LSB
	if a.order == binary.BigEndian {
		data = elf.ELFDATA2MSB
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(a.class), byte(data), byte(elf.EV_CURRENT)}
	var b bytes.Buffer
	// Writing to memory, of values with fixed sizes, can't fail.
	write := func(v any) { binary.Write(&b, a.order, v) }
	if a.class == elf.ELFCLASS32 {
		const head, prog = 52, 32
		size := uint32(head + prog + len(code))
		write(elf.Header32{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(a.machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + head + prog, Phoff: head, Flags: a.flags, Ehsize: head, Phentsize: prog, Phnum: 1})
		write(elf.Prog32{Type: uint32(elf.PT_LOAD), Vaddr: base, Paddr: base, Filesz: size, Memsz: size,
			Flags: uint32(elf.PF_R | elf.PF_X), Align: align})
	} else {
		const head, prog = 64, 56
		size := uint64(head + prog + len(code))
		write(elf.Header64{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(a.machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + head + prog, Phoff: head, Flags: a.flags, Ehsize: head, Phentsize: prog, Phnum: 1})
		write(elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base,
			Filesz: size, Memsz: size, Align: align})
	}
	return append(b.Bytes(), code...)
}

// doNothing names the program that Find runs in messages.
const doNothing = "a program that does nothing"

// probeKernel has the kernel run a program of the platform; refused is why it can't.
// While the program waits for the end of its input, /proc shows what runs: its own
// file, or an interpreter, which can be run from there even if its path doesn't exist
// here.
func probeKernel(ctx context.Context, platform v1.Platform) (e Emulator, refused, err error) {
	dir, path, err := writeProbe(platform)
	if err != nil {
		return e, nil, err
	}
	defer os.RemoveAll(dir)
	limited, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	var output bytes.Buffer
	var cmd *exec.Cmd
	var stdin io.WriteCloser
	for tries := 0; ; tries++ {
		cmd = process.Command(limited, path)
		cmd.Stderr = &output
		if stdin, err = cmd.StdinPipe(); err != nil {
			return e, nil, err
		}
		err = cmd.Start()
		// A process that another goroutine forks may briefly hold the file open for
		// writing (https://go.dev/issue/22315).
		if !errors.Is(err, syscall.ETXTBSY) || tries == 50 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			err = errno
		}
		return e, err, context.Cause(ctx)
	}
	exe := fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)
	e.Kind = Native
	running, _ := os.Stat(exe)
	if own, err := os.Stat(path); err != nil || !os.SameFile(running, own) {
		e.Kind, e.Version = Binfmt, qemuVersion(ctx, exe)
		e.Path, _ = os.Readlink(exe)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return e, nil, crash(ctx, platform, e, doNothing, &process.Failure{Err: err, Text: strings.TrimSpace(output.String())})
	}
	return e, nil, nil
}

// probeDirect runs a program of the platform with the emulator.
func probeDirect(ctx context.Context, platform v1.Platform, e Emulator) error {
	dir, path, err := writeProbe(platform)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	limited, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	if _, err := process.Output(limited, process.Command(limited, e.Path, path)); err != nil {
		return crash(ctx, platform, e, doNothing, err)
	}
	return nil
}

// writeProbe writes the platform's program into a folder of its own.
func writeProbe(platform v1.Platform) (dir, path string, err error) {
	if dir, err = os.MkdirTemp("", "multimage-*"); err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, "program")
	if err := os.WriteFile(path, arches[platform.Architecture].program(), 0o755); err != nil {
		os.RemoveAll(dir)
		return "", "", err
	}
	return dir, path, nil
}
