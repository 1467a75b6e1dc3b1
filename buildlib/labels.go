package buildlib

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ociKeys is the prefix of the keys that the OCI image spec defines (annotations.md,
// "Pre-Defined Annotation Keys"). They become labels in the config and annotations of
// manifest and index. Other labels are in the config only.
const ociKeys = "org.opencontainers.image."

// label is the template of a label's value, and its field.
type label struct{ text, field string }

// labels returns an image's labels: its own replace the Project's, and these replace
// the automatic ones. Those that name the base are added when it is known.
func (r *resolver) labels(img draft) map[string]label {
	labels := map[string]label{}
	put := func(field string, more map[string]string) {
		for key, text := range more {
			labels[key] = label{text, fmt.Sprintf("%s[%q]", field, key)}
		}
	}
	automatic := map[string]string{
		ociKeys + "title":   img.Name,
		ociKeys + "version": quote(r.plan.Version),
		ociKeys + "created": r.plan.Epoch.Format(time.RFC3339),
	}
	if r.plan.Revision != "" {
		automatic[ociKeys+"revision"] = r.plan.Revision
	}
	if r.git.Source != "" {
		automatic[ociKeys+"source"] = quote(r.git.Source)
	}
	r.checkLabels("Labels", r.project.Labels)
	r.checkLabels(img.field+".Labels", img.Labels)
	put(img.field+".Labels", automatic)
	put("Labels", r.project.Labels)
	put(img.field+".Labels", img.Labels)
	return labels
}

// quote returns a template that renders to text.
func quote(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	return fmt.Sprintf("{{%q}}", text)
}

// indexAnnotations are the labels with OCI keys that are the same on every platform.
func (r *resolver) indexAnnotations(labels map[string]label) map[string]string {
	annotations := map[string]string{}
	for key, l := range labels {
		if !strings.HasPrefix(key, ociKeys) {
			continue
		}
		if value, err := render(l.text, r.facts.platformless()); err == nil {
			annotations[key] = value
		}
	}
	return annotations
}

func (r *resolver) checkLabels(field string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key == "" || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c == '=' || c == 0x7f }) {
			r.mistake(field, "%q is not a valid label key: use one like com.example.team, without spaces or =", key)
		}
	}
}
