package buildlib

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ociKeys start the keys that the OCI image spec defines (annotations.md,
// "Pre-Defined Annotation Keys"). They are config labels, manifest
// annotations and index annotations alike; other labels are config labels.
const ociKeys = "org.opencontainers.image."

// label is a label's template, and the field that has it.
type label struct{ text, field string }

// labels are an image's: those that every image has, under the Project's, under
// its own. What names the base is added with it.
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

// quote makes text a template that renders to it.
func quote(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	return fmt.Sprintf("{{%q}}", text)
}

// indexAnnotations are the OCI keys of an image's labels for its index. One
// that differs by platform has no value there.
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
