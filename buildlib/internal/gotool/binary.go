package gotool

import (
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// machines are what the header of an executable says for each GOARCH: in ELF, with
// byte order and class, in PE and in Mach-O.
var machines = map[string]struct {
	elf   elf.Machine
	order binary.ByteOrder
	bits  elf.Class
	pe    uint16
	macho macho.Cpu
}{
	"386":      {elf.EM_386, binary.LittleEndian, elf.ELFCLASS32, pe.IMAGE_FILE_MACHINE_I386, macho.Cpu386},
	"amd64":    {elf.EM_X86_64, binary.LittleEndian, elf.ELFCLASS64, pe.IMAGE_FILE_MACHINE_AMD64, macho.CpuAmd64},
	"arm":      {elf.EM_ARM, binary.LittleEndian, elf.ELFCLASS32, pe.IMAGE_FILE_MACHINE_ARMNT, macho.CpuArm},
	"arm64":    {elf.EM_AARCH64, binary.LittleEndian, elf.ELFCLASS64, pe.IMAGE_FILE_MACHINE_ARM64, macho.CpuArm64},
	"loong64":  {elf: elf.EM_LOONGARCH, order: binary.LittleEndian, bits: elf.ELFCLASS64},
	"mips":     {elf: elf.EM_MIPS, order: binary.BigEndian, bits: elf.ELFCLASS32},
	"mipsle":   {elf: elf.EM_MIPS, order: binary.LittleEndian, bits: elf.ELFCLASS32},
	"mips64":   {elf: elf.EM_MIPS, order: binary.BigEndian, bits: elf.ELFCLASS64},
	"mips64le": {elf: elf.EM_MIPS, order: binary.LittleEndian, bits: elf.ELFCLASS64},
	"ppc64":    {elf: elf.EM_PPC64, order: binary.BigEndian, bits: elf.ELFCLASS64},
	"ppc64le":  {elf: elf.EM_PPC64, order: binary.LittleEndian, bits: elf.ELFCLASS64},
	"riscv64":  {elf: elf.EM_RISCV, order: binary.LittleEndian, bits: elf.ELFCLASS64},
	"s390x":    {elf: elf.EM_S390, order: binary.BigEndian, bits: elf.ELFCLASS64},
}

// inspect checks that the file at path is a program for the platform that env
// names, and returns its dynamic loader (ELF, PT_INTERP), or nothing if it is static.
// Formats that the standard library can't read aren't checked.
func inspect(path string, env []string) (loader string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	goos, goarch := variable(env, "GOOS"), variable(env, "GOARCH")
	if loader, err = inspectFormat(f, goos, goarch); err != nil {
		return "", err
	}
	info, err := buildinfo.Read(f)
	if err != nil {
		return loader, nil // a linker's flag may leave it out
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "GOOS" && s.Value != goos, s.Key == "GOARCH" && s.Value != goarch:
			return "", fmt.Errorf("it is built with %s=%s", s.Key, s.Value)
		case slices.Contains(checkers, strings.TrimPrefix(s.Key, "-")) && s.Value == "true":
			return "", fmt.Errorf("it is built with %s, which is for tests: leave the flag out", s.Key)
		}
	}
	return loader, nil
}

// checkers are the flags of go build for programs that check themselves, and are
// slow.
var checkers = []string{"race", "msan", "asan"}

func inspectFormat(f io.ReaderAt, goos, goarch string) (string, error) {
	want := machines[goarch]
	other := func(format string, is any) error {
		return fmt.Errorf("it is a program for another platform (%s, %v): does a wrapper or -toolexec call another go?", format, is)
	}
	notFor := func(err error) error { return fmt.Errorf("it is not a program for %s: %w", goos, err) }
	errLibrary := errors.New("it is a library, not a program: leave -buildmode out")
	switch goos {
	case "aix", "plan9", "js", "wasip1":
		return "", nil
	case "windows":
		p, err := pe.NewFile(f)
		switch {
		case err != nil:
			return "", notFor(err)
		case want.pe != p.Machine:
			return "", other("PE", fmt.Sprintf("machine %#x", p.Machine))
		case p.Characteristics&pe.IMAGE_FILE_DLL != 0:
			return "", errLibrary
		}
		return "", nil
	case "darwin", "ios":
		m, err := macho.NewFile(f)
		switch {
		case err != nil:
			return "", notFor(err)
		case want.macho != m.Cpu:
			return "", other("Mach-O", m.Cpu)
		case m.Type != macho.TypeExec:
			return "", errLibrary
		}
		return "", nil
	}
	e, err := elf.NewFile(f)
	switch {
	case err != nil:
		return "", notFor(err)
	case want.elf != 0 && (e.Machine != want.elf || e.ByteOrder != want.order || e.Class != want.bits):
		return "", other("ELF", fmt.Sprint(e.Machine, ", ", e.Class, ", ", e.ByteOrder))
	case e.Type != elf.ET_EXEC && e.Type != elf.ET_DYN:
		return "", notFor(fmt.Errorf("ELF, %v", e.Type))
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			return strings.TrimRight(string(name), "\x00"), err
		}
	}
	return "", nil
}

// libraries are the shared libraries that a program with a dynamic loader names
// (ELF, DT_NEEDED). If the program says where they are (DT_RUNPATH, DT_RPATH), that
// is left to the loader.
func libraries(path, loader string) []string {
	if loader == "" {
		return nil
	}
	e, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer e.Close()
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		if dirs, err := e.DynString(tag); err != nil || len(dirs) > 0 {
			return nil
		}
	}
	list, _ := e.ImportedLibraries()
	return list
}
