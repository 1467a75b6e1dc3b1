package dockerfile

import (
	"cmp"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Image is an image that a Dockerfile reads, and doesn't build itself.
type Image struct {
	Ref      string // with variables replaced: alpine:3.24
	Platform string // OS/ARCH[/VARIANT]
	Line     int
	word     string // as it is written: alpine:${VERSION}
	option   bool   // whether it is in an option of COPY or RUN instead of FROM
}

// Images returns the images that a build for the platform OS/ARCH[/VARIANT] reads: those
// of FROM, COPY --from and RUN --mount=from. Variables in FROM have the defaults of the
// ARGs before the first FROM, and BuildKit's values of TARGETPLATFORM and the like.
func (f File) Images(platform string) ([]Image, error) {
	values := platformArgs(platform)
	l := Lexer{Escape: f.Escape, Lookup: func(name string) string { return values[name] }}
	for _, arg := range f.Args {
		name, value, given := strings.Cut(arg.Text, "=")
		if _, automatic := values[name]; given && !automatic {
			values[name] = l.Value(value)
		}
	}
	var all []Image
	add := func(i Image) {
		if !strings.EqualFold(i.Ref, "scratch") {
			all = append(all, i)
		}
	}
	var stages []string
	for _, s := range f.Stages {
		ref := l.Value(s.From.Text)
		if ref == "" || strings.ContainsAny(ref, " \t") {
			return nil, fmt.Errorf("line %d: FROM %s names no image: give its ARGs defaults before the first FROM", s.From.Line, s.From.Text)
		}
		if !slices.Contains(stages, strings.ToLower(ref)) {
			add(Image{ref, cmp.Or(l.Value(s.From.Flags["platform"]), platform), s.From.Line, s.From.Text, false})
		}
		for _, i := range s.Instructions {
			for _, from := range i.froms() {
				if from != "" && !isNumber(from) && !slices.Contains(stages, strings.ToLower(from)) && !strings.ContainsAny(from, "$") {
					add(Image{from, platform, i.Line, from, true})
				}
			}
		}
		stages = append(stages, s.Name)
	}
	return all, nil
}

// froms returns the stages and images that an instruction reads besides its own stage.
func (i Instruction) froms() []string {
	var list []string
	switch i.Name {
	case "COPY", "ADD":
		list = append(list, i.Flags["from"])
	case "RUN":
		for option := range strings.FieldsFuncSeq(i.Flags["mount"], func(r rune) bool { return r == ',' || r == ' ' }) {
			if from, ok := strings.CutPrefix(option, "from="); ok {
				list = append(list, from)
			}
		}
	}
	return list
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// platformArgs are the ARGs that every build has in FROM without declaring them
// (docs.docker.com/reference/dockerfile, "Automatic platform ARGs in the global
// scope").
func platformArgs(platform string) map[string]string {
	values := map[string]string{}
	for prefix, p := range map[string]string{"TARGET": platform, "BUILD": "linux/" + runtime.GOARCH} {
		parts := append(strings.Split(p, "/"), "", "")
		values[prefix+"PLATFORM"], values[prefix+"OS"], values[prefix+"ARCH"], values[prefix+"VARIANT"] = p, parts[0], parts[1], parts[2]
	}
	return values
}

// Pin returns the text of a Dockerfile with the images replaced by names. An image that
// is not on the line of its FROM isn't replaced.
func Pin(text []byte, names map[Image]string) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	for image, name := range names {
		name = "${1}" + strings.ReplaceAll(name, "$", "$$") + "${2}"
		word := regexp.QuoteMeta(image.word)
		if !image.option {
			at := &lines[image.Line-1]
			*at = regexp.MustCompile(`^(\s*(?i:FROM)\s+(?:--\S+\s+)*)`+word+`(\s|$)`).ReplaceAllString(*at, name)
			continue
		}
		// Options may be on later lines of the instruction.
		option := regexp.MustCompile(`(--from=)` + word + `(\s|$)`)
		if name, _, _ := cutSpace(strings.TrimSpace(lines[image.Line-1])); strings.EqualFold(name, "RUN") {
			option = regexp.MustCompile(`(--mount=\S*\bfrom=)` + word + `([\s,]|$)`)
		}
		for n := image.Line - 1; n < len(lines); n++ {
			if lines[n] = option.ReplaceAllString(lines[n], name); !strings.HasSuffix(strings.TrimRight(lines[n], " \t\r\n"), `\`) {
				break
			}
		}
	}
	return []byte(strings.Join(lines, ""))
}
