package bench

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxDifferences is how many differences are worth reading.
const maxDifferences = 5

// binaryDifference describes how two executables differ, the most telling first: how
// they were built, their sections, their bytes.
func binaryDifference(native, emulated string) (string, error) {
	x, err := os.ReadFile(native)
	if err != nil {
		return "", err
	}
	y, err := os.ReadFile(emulated)
	if err != nil {
		return "", err
	}
	var found []string
	a, b := settings(x), settings(y)
	for _, key := range unequal(a, b) {
		found = append(found, fmt.Sprintf("%s=%q natively, %q emulated", key, a[key], b[key]))
	}
	if names := unequal(sections(x), sections(y)); len(names) > 0 {
		found = append(found, "sections "+strings.Join(names, " "))
	}
	if len(x) != len(y) {
		found = append(found, fmt.Sprintf("%d bytes natively, %d emulated", len(x), len(y)))
	}
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			found = append(found, fmt.Sprintf("the first difference is at byte %d", i))
			break
		}
	}
	if len(found) > maxDifferences {
		found = append(found[:maxDifferences], "and more")
	}
	return strings.Join(found, "; "), nil
}

// unequal are the keys whose values differ, sorted.
func unequal(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	maps.DeleteFunc(all, func(key, _ string) bool {
		_, inA := a[key]
		_, inB := b[key]
		return inA == inB && a[key] == b[key]
	})
	return slices.Sorted(maps.Keys(all))
}

// settings are the Go version and the build settings in a binary.
func settings(data []byte) map[string]string {
	all := map[string]string{}
	if info, err := buildinfo.Read(bytes.NewReader(data)); err == nil {
		all["Go"] = info.GoVersion
		for _, s := range info.Settings {
			all[s.Key] = s.Value
		}
	}
	return all
}

// sections are the sizes and hashes of the ELF sections, by name.
func sections(data []byte) map[string]string {
	all := map[string]string{}
	if f, err := elf.NewFile(bytes.NewReader(data)); err == nil {
		for _, s := range f.Sections {
			content, _ := s.Data() // none of a section without bytes in the file
			all[s.Name] = fmt.Sprintf("%d %x", s.Size, sha256.Sum256(content))
		}
	}
	return all
}
