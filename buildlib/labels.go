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

// labels are the templates of an image's labels: those that every image has,
// under the Project's, under its own. What names the base is added with it.
func (r *resolver) labels(img image) map[string]string {
	labels := map[string]string{
		ociKeys + "title":   img.Name,
		ociKeys + "version": quote(r.plan.Version),
		ociKeys + "created": r.plan.Epoch.Format(time.RFC3339),
	}
	if r.plan.Revision != "" {
		labels[ociKeys+"revision"] = r.plan.Revision
	}
	if r.git.Source != "" {
		labels[ociKeys+"source"] = quote(r.git.Source)
	}
	r.checkLabels("Labels", r.project.Labels)
	r.checkLabels(img.field+".Labels", img.Labels)
	maps.Copy(labels, r.project.Labels)
	maps.Copy(labels, img.Labels)
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
func (r *resolver) indexAnnotations(labels map[string]string) map[string]string {
	annotations := map[string]string{}
	for key, text := range labels {
		if !strings.HasPrefix(key, ociKeys) {
			continue
		}
		if value, err := render(text, r.tags.platformless()); err == nil {
			annotations[key] = value
		}
	}
	return annotations
}

func (r *resolver) checkLabels(field string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key == "" || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c == '=' || c == 0x7f }) {
			r.mistake(field, "%q is no label's key: use one like com.example.team, without spaces or =", key)
		}
	}
}
