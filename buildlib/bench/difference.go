package bench

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxDifferences is how many of them are worth reading.
const maxDifferences = 5

// binaryDifference says in what two executables differ, from what explains most to
// what explains least: how they were built, their sections, their bytes.
func binaryDifference(a, b string) (string, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return "", err
	}
	y, err := os.ReadFile(b)
	if err != nil {
		return "", err
	}
	var found []string
	found = append(found, buildDifferences(x, y)...)
	found = append(found, sectionDifferences(x, y)...)
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

// buildDifferences compares what the go command noted in the binaries.
func buildDifferences(x, y []byte) []string {
	a, errA := buildinfo.Read(bytes.NewReader(x))
	b, errB := buildinfo.Read(bytes.NewReader(y))
	if errA != nil || errB != nil {
		return nil
	}
	var found []string
	if a.GoVersion != b.GoVersion {
		found = append(found, fmt.Sprintf("built by %s natively, by %s emulated", a.GoVersion, b.GoVersion))
	}
	settings := map[string]string{}
	for _, s := range a.Settings {
		settings[s.Key] = s.Value
	}
	for _, s := range b.Settings {
		if settings[s.Key] != s.Value {
			found = append(found, fmt.Sprintf("%s=%q natively, %q emulated", s.Key, settings[s.Key], s.Value))
		}
		delete(settings, s.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		found = append(found, fmt.Sprintf("%s=%q natively only", key, settings[key]))
	}
	return found
}

// sectionDifferences names the ELF sections that differ.
func sectionDifferences(x, y []byte) []string {
	a, errA := elf.NewFile(bytes.NewReader(x))
	b, errB := elf.NewFile(bytes.NewReader(y))
	if errA != nil || errB != nil {
		return nil
	}
	var names []string
	for _, s := range a.Sections {
		t := b.Section(s.Name)
		if t == nil {
			names = append(names, s.Name+" (natively only)")
			continue
		}
		if s.Type == elf.SHT_NOBITS && s.Size == t.Size {
			continue
		}
		p, errP := s.Data()
		q, errQ := t.Data()
		if errP != nil || errQ != nil || !bytes.Equal(p, q) {
			names = append(names, s.Name)
		}
	}
	for _, s := range b.Sections {
		if a.Section(s.Name) == nil {
			names = append(names, s.Name+" (emulated only)")
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{"sections " + strings.Join(names, " ")}
}
