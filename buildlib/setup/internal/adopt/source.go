package adopt

import (
	"bytes"
	"fmt"
	"go/format"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// source writes the project as Go.
func (p *project) source() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("//go:build mage\n\npackage main\n\nimport (\n\t\"github.com/multimage/multimage/buildlib\"\n\t\"github.com/multimage/multimage/buildlib/targets\"\n)\n\n")
	b.WriteString("// What is built, and where it goes. The README of multimage has all fields.\n")
	b.WriteString("func init() {\n")
	for _, note := range p.notes {
		comment(&b, "\t", note)
	}
	b.WriteString("\ttargets.Project = buildlib.Project{\n")
	v := reflect.ValueOf(p.Project)
	for n := range v.NumField() {
		name := v.Type().Field(n).Name
		if name == "Images" && len(p.images) > 0 {
			p.writeImages(&b)
		} else if !v.Field(n).IsZero() {
			fmt.Fprintf(&b, "\t\t%s: %s,\n", name, literal(v.Field(n), true))
		}
	}
	b.WriteString("\t}\n}\n")
	text := b.String()
	if strings.Contains(text, " * time.") {
		text = strings.Replace(text, "import (\n", "import (\n\t\"time\"\n\n", 1)
	}
	formatted, err := format.Source([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("write project.go: %w\n%s", err, text)
	}
	return formatted, nil
}

func (p *project) writeImages(b *bytes.Buffer) {
	b.WriteString("\t\tImages: []buildlib.Image{\n")
	for _, i := range p.images {
		comment(b, "\t\t\t", "From "+i.from+".")
		for _, note := range i.notes {
			comment(b, "\t\t\t", strings.ToUpper(note[:1])+note[1:])
		}
		b.WriteString("\t\t\t" + strings.TrimPrefix(literal(reflect.ValueOf(i.Image), false), "buildlib.Image") + ",\n")
	}
	b.WriteString("\t\t},\n")
}

// comment writes text as lines of a comment.
func comment(b *bytes.Buffer, indent, text string) {
	const width = 90
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+len(word) >= width {
			b.WriteString(indent + "// " + line + "\n")
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	b.WriteString(indent + "// " + line + "\n")
}

// literal is a value as Go source, without zero fields. An empty list that isn't nil is
// not zero. short leaves out line breaks between fields.
func literal(v reflect.Value, short bool) string {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); strings.ContainsAny(s, `"\`) && strconv.CanBackquote(s) {
			return "`" + s + "`"
		}
		return strconv.Quote(v.String())
	case reflect.Slice:
		var elements []string
		for n := range v.Len() {
			element := literal(v.Index(n), true)
			if v.Type().Elem().Kind() == reflect.Struct {
				element = strings.TrimPrefix(element, v.Type().Elem().String())
			}
			elements = append(elements, element)
		}
		if v.Type().Elem().Kind() == reflect.Struct {
			return v.Type().String() + "{\n" + strings.Join(elements, ",\n") + ",\n}"
		}
		return v.Type().String() + "{" + strings.Join(elements, ", ") + "}"
	case reflect.Map:
		var b strings.Builder
		values := map[string]string{}
		for _, key := range v.MapKeys() {
			values[literal(key, true)] = literal(v.MapIndex(key), true)
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&b, "%s: %s,\n", key, values[key])
		}
		return v.Type().String() + "{\n" + b.String() + "}"
	case reflect.Struct:
		var fields []string
		for n := range v.NumField() {
			if !v.Field(n).IsZero() {
				fields = append(fields, v.Type().Field(n).Name+": "+literal(v.Field(n), true))
			}
		}
		if short {
			return v.Type().String() + "{" + strings.Join(fields, ", ") + "}"
		}
		return v.Type().String() + "{\n" + strings.Join(fields, ",\n") + ",\n}"
	case reflect.Uint32: // permissions
		return fmt.Sprintf("%#o", v.Uint())
	default:
		if d, ok := v.Interface().(time.Duration); ok && d%time.Second == 0 {
			return fmt.Sprintf("%d * time.Second", d/time.Second)
		} else if ok {
			return fmt.Sprintf("%d * time.Millisecond", d/time.Millisecond)
		}
		return fmt.Sprintf("%#v", v.Interface())
	}
}
