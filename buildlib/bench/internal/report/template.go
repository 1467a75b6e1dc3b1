package report

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"add":     func(a any, b float64) float64 { return float(a) + b },
	"list":    func(words []string) string { return md(strings.Join(words, ", ")) },
	"md":      md,
	"minutes": func(seconds float64) string { return threeDigits(seconds/60) + " min" },
	"plural":  plural,
	"quoted":  func(s string) string { return `"` + strings.NewReplacer(`"`, "'", "`", "'").Replace(s) + `"` }, // of Mermaid's, in a code block
	"stars":   func(s string) string { return strings.ReplaceAll(s, "*", `\*`) },
	"times":   times,
}).ParseFS(files, "*.tmpl"))

func float(v any) float64 {
	if n, ok := v.(int); ok {
		return float64(n)
	}
	return v.(float64)
}

// execute executes a template. It panics if the template doesn't fit the data.
func execute(name string, data any) []byte {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		panic("report: " + err.Error())
	}
	return b.Bytes()
}

// md makes a text one line of Markdown, with character references for all markup.
func md(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		if strings.ContainsRune("&<>|`*[]\\~#", r) {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
