package emulate

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// arch is an architecture of Linux that both Go and QEMU know.
type arch struct {
	qemu    string // QEMU's name of it
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder
	flags   uint32
	// The machine code of a program that reads one byte of its standard
	// input, to where the stack pointer points, and exits with status 0.
	// words are instructions in the architecture's byte order.
	words []uint32
	code  []byte
}

// arches are keyed by GOARCH.
var arches = map[string]arch{
	"386": {qemu: "i386", machine: elf.EM_386, class: elf.ELFCLASS32, order: binary.LittleEndian, code: []byte{
		0xb8, 3, 0, 0, 0, // mov $3, %eax (read)
		0x31, 0xdb, // xor %ebx, %ebx
		0x89, 0xe1, // mov %esp, %ecx
		0xba, 1, 0, 0, 0, // mov $1, %edx
		0xcd, 0x80, // int $0x80
		0xb8, 1, 0, 0, 0, // mov $1, %eax (exit)
		0x31, 0xdb, // xor %ebx, %ebx
		0xcd, 0x80, // int $0x80
	}},
	"amd64": {qemu: "x86_64", machine: elf.EM_X86_64, class: elf.ELFCLASS64, order: binary.LittleEndian, code: []byte{
		0x31, 0xc0, // xor %eax, %eax (read)
		0x31, 0xff, // xor %edi, %edi
		0x48, 0x89, 0xe6, // mov %rsp, %rsi
		0xba, 1, 0, 0, 0, // mov $1, %edx
		0x0f, 0x05, // syscall
		0xb8, 60, 0, 0, 0, // mov $60, %eax (exit)
		0x31, 0xff, // xor %edi, %edi
		0x0f, 0x05, // syscall
	}},
	"arm": {qemu: "arm", machine: elf.EM_ARM, class: elf.ELFCLASS32, order: binary.LittleEndian, flags: 0x05000000, words: []uint32{
		0xe3a00000, // mov r0, #0
		0xe1a0100d, // mov r1, sp
		0xe3a02001, // mov r2, #1
		0xe3a07003, // mov r7, #3 (read)
		0xef000000, // svc 0
		0xe3a00000, // mov r0, #0
		0xe3a07001, // mov r7, #1 (exit)
		0xef000000, // svc 0
	}},
	"arm64": {qemu: "aarch64", machine: elf.EM_AARCH64, class: elf.ELFCLASS64, order: binary.LittleEndian, words: []uint32{
		0xd2800000, // mov x0, #0
		0x910003e1, // mov x1, sp
		0xd2800022, // mov x2, #1
		0xd28007e8, // mov x8, #63 (read)
		0xd4000001, // svc 0
		0xd2800000, // mov x0, #0
		0xd2800ba8, // mov x8, #93 (exit)
		0xd4000001, // svc 0
	}},
	"loong64": {qemu: "loongarch64", machine: elf.EM_LOONGARCH, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 0x43, words: []uint32{
		0x03800004, // ori a0, zero, 0
		0x00150065, // move a1, sp
		0x03800406, // ori a2, zero, 1
		0x0380fc0b, // ori a7, zero, 63 (read)
		0x002b0000, // syscall 0
		0x03800004, // ori a0, zero, 0
		0x0381740b, // ori a7, zero, 93 (exit)
		0x002b0000, // syscall 0
	}},
	"mips":     {qemu: "mips", machine: elf.EM_MIPS, class: elf.ELFCLASS32, order: binary.BigEndian, flags: 0x50001005, words: mips},
	"mipsle":   {qemu: "mipsel", machine: elf.EM_MIPS, class: elf.ELFCLASS32, order: binary.LittleEndian, flags: 0x50001005, words: mips},
	"mips64":   {qemu: "mips64", machine: elf.EM_MIPS, class: elf.ELFCLASS64, order: binary.BigEndian, flags: 0x60000005, words: mips64},
	"mips64le": {qemu: "mips64el", machine: elf.EM_MIPS, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 0x60000005, words: mips64},
	"ppc64":    {qemu: "ppc64", machine: elf.EM_PPC64, class: elf.ELFCLASS64, order: binary.BigEndian, flags: 2, words: ppc64},
	"ppc64le":  {qemu: "ppc64le", machine: elf.EM_PPC64, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 2, words: ppc64},
	"riscv64": {qemu: "riscv64", machine: elf.EM_RISCV, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 4, words: []uint32{
		0x00000513, // li a0, 0
		0x00010593, // mv a1, sp
		0x00100613, // li a2, 1
		0x03f00893, // li a7, 63 (read)
		0x00000073, // ecall
		0x00000513, // li a0, 0
		0x05d00893, // li a7, 93 (exit)
		0x00000073, // ecall
	}},
	"s390x": {qemu: "s390x", machine: elf.EM_S390, class: elf.ELFCLASS64, order: binary.BigEndian, code: []byte{
		0xa7, 0x29, 0, 0, // lghi %r2, 0
		0xb9, 0x04, 0, 0x3f, // lgr %r3, %r15
		0xa7, 0x49, 0, 1, // lghi %r4, 1
		0x0a, 3, // svc 3 (read)
		0xa7, 0x29, 0, 0, // lghi %r2, 0
		0x0a, 1, // svc 1 (exit)
	}},
}

var mips = []uint32{
	0x24040000, // li $a0, 0
	0x03a02825, // move $a1, $sp
	0x24060001, // li $a2, 1
	0x24020fa3, // li $v0, 4003 (read)
	0x0000000c, // syscall
	0x24040000, // li $a0, 0
	0x24020fa1, // li $v0, 4001 (exit)
	0x0000000c, // syscall
}

var mips64 = []uint32{
	0x24040000, // li $a0, 0
	0x03a02825, // move $a1, $sp
	0x24060001, // li $a2, 1
	0x24021388, // li $v0, 5000 (read)
	0x0000000c, // syscall
	0x24040000, // li $a0, 0
	0x240213c2, // li $v0, 5058 (exit)
	0x0000000c, // syscall
}

var ppc64 = []uint32{
	0x38600000, // li r3, 0
	0x7c240b78, // mr r4, r1
	0x38a00001, // li r5, 1
	0x38000003, // li r0, 3 (read)
	0x44000002, // sc
	0x38600000, // li r3, 0
	0x38000001, // li r0, 1 (exit)
	0x44000002, // sc
}

// program returns an executable of the architecture, as small as the ELF
// specification allows: one segment, which is the whole file.
func (a arch) program() []byte {
	size := len(a.code) + 4*len(a.words)
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
		size := uint32(head + prog + size)
		write(elf.Header32{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(a.machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + head + prog, Phoff: head, Flags: a.flags, Ehsize: head, Phentsize: prog, Phnum: 1})
		write(elf.Prog32{Type: uint32(elf.PT_LOAD), Vaddr: base, Paddr: base, Filesz: size, Memsz: size,
			Flags: uint32(elf.PF_R | elf.PF_X), Align: align})
	} else {
		const head, prog = 64, 56
		size := uint64(head + prog + size)
		write(elf.Header64{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(a.machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + head + prog, Phoff: head, Flags: a.flags, Ehsize: head, Phentsize: prog, Phnum: 1})
		write(elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base,
			Filesz: size, Memsz: size, Align: align})
	}
	write(a.code)
	write(a.words)
	return b.Bytes()
}

// probeKernel has the kernel run a program of the platform. refused is why it
// does not. The program waits for the end of its input, and meanwhile the
// kernel tells who runs it: the program's own file, or an interpreter, which
// answers for itself even if it is in no folder that we see.
func probeKernel(ctx context.Context, platform v1.Platform) (e Emulator, refused, err error) {
	dir, path, err := writeProbe(platform)
	if err != nil {
		return e, nil, err
	}
	defer os.RemoveAll(dir)
	limited, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	said := &bytes.Buffer{}
	var stdin io.WriteCloser
	cmd := command{argv: []string{path}}.prepare(limited)
	for tries := 0; ; tries++ {
		cmd.Stderr = said
		if stdin, err = cmd.StdinPipe(); err != nil {
			return e, nil, err
		}
		err = cmd.Start()
		// A fork of another goroutine's may hold the file open for writing
		// for a moment (https://go.dev/issue/22315).
		if !errors.Is(err, syscall.ETXTBSY) || tries == 50 {
			break
		}
		time.Sleep(20 * time.Millisecond)
		cmd = command{argv: []string{path}}.prepare(limited)
	}
	if err != nil {
		if ctx.Err() != nil {
			return e, nil, context.Cause(ctx)
		}
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		return e, err, nil
	}
	exe := fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)
	e.Kind = Native
	if !sameFile(exe, path) {
		e.Kind, e.Version = Binfmt, qemuVersion(ctx, exe)
		e.Path, _ = os.Readlink(exe)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return e, nil, context.Cause(ctx)
		}
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return e, nil, crash(platform.String(), e, nothing, &failure{err, said.String()})
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
	if _, err = (command{argv: []string{e.Path, path}}).output(limited); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return crash(platform.String(), e, nothing, err)
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

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
