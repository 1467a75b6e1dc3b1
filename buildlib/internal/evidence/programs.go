package evidence

import (
	"archive/tar"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// programLimit bounds a program that is read into memory, in bytes: the largest Go
// programs have a fifth of it.
const programLimit = 512 << 20

// readProgram reads an ELF program or shared library from a layer; ok is false for
// other files. Its Package is empty if it has no Go build info, or is too large.
func readProgram(h *tar.Header, r io.Reader) (b Binary, ok bool, err error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(4); string(magic) != "\x7fELF" {
		return b, false, nil
	}
	b.Path = "/" + clean(h.Name)
	if h.Size > programLimit {
		return b, true, nil
	}
	data := make([]byte, h.Size)
	if _, err := io.ReadFull(in, data); err != nil {
		return b, true, err
	}
	b.read(bytes.NewReader(data))
	b.Digest, _, err = v1.SHA256(bytes.NewReader(data))
	return b, true, err
}

// sortPrograms returns the Go programs, whose build info says what they are made
// of, and the programs of unknown origin: without it, and in no package.
func sortPrograms(programs map[string]Binary, databases map[string][]byte) (known []Binary, unknown []string) {
	owned := map[string]bool{}
	for name, data := range databases {
		for file := range packageFiles(name, data) {
			owned[merged(file)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		if b := programs[name]; b.Package != "" {
			known = append(known, b)
		} else if !owned[merged(name)] {
			unknown = append(unknown, b.Path)
		}
	}
	return known, unknown
}

// merged is a path without usr/, which is the same where /bin leads to /usr/bin.
func merged(name string) string { return strings.TrimPrefix(name, "usr/") }

// packageFiles lists the files of packages, from a package manager's file: apk's
// database (apk-v2(5): F: is a folder, R: a file in it),
// dpkg's lists, and the md5sums of distroless images.
func packageFiles(name string, data []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		folder := ""
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			file := ""
			switch {
			case strings.HasSuffix(name, "apk/db/installed"):
				if f, ok := strings.CutPrefix(line, "F:"); ok {
					folder = f
				} else if f, ok := strings.CutPrefix(line, "R:"); ok {
					file = path.Join(folder, f)
				}
			case strings.HasSuffix(name, ".list"):
				file = line
			case strings.HasSuffix(name, ".md5sums"):
				_, file, _ = strings.Cut(line, "  ")
			}
			if file != "" && !yield(clean(file)) {
				return
			}
		}
	}
}

// clean is an entry's name as a path from the root, without the slash.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// unknownPrograms says that the origin of programs is unknown.
func unknownPrograms(list []string) string {
	const most = 3
	text := strings.Join(list[:min(len(list), most)], ", ")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return "neither a package nor build info accounts for " + text
}
