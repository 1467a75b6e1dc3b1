package buildlib

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// healthcheck checks an image's Healthcheck, and returns it as the configuration has it:
// nil if it is the base's.
func (r *resolver) healthcheck(img draft, base string) *v1.HealthConfig {
	h, field := img.Healthcheck, img.field+".Healthcheck"
	if h.Test != nil && len(h.Test) == 0 {
		h.Test = []string{"NONE"}
	}
	times := []struct {
		name string
		d    time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}}
	set := h.Retries != 0
	for _, t := range times {
		set = set || t.d != 0
		if t.d != 0 && t.d < time.Millisecond { // Docker refuses that when the container starts
			r.mistake(field+"."+t.name, "%s is less than a millisecond, the minimum of engines: want one like 30*time.Second", t.d)
		}
	}
	if h.Retries < 0 {
		r.mistake(field+".Retries", "%d is negative", h.Retries)
	}
	if len(h.Test) == 0 {
		if set {
			r.mistake(field+".Test", "is not set, and the other fields need it: name the command, or leave all unset for the base's")
		}
		return nil
	}
	const forms = `want "CMD" and a program with its arguments, "CMD-SHELL" and one command, or "NONE"`
	switch words := len(h.Test) - 1; h.Test[0] {
	case "CMD":
		if words < 1 || h.Test[1] == "" {
			r.mistake(field+".Test", "%q names no program: "+forms, h.Test)
		}
	case "CMD-SHELL":
		if words != 1 {
			r.mistake(field+".Test", "%q is not one command: "+forms, h.Test)
		}
		if base == scratch && len(img.Files) == 0 {
			r.mistake(field+".Test", "%q needs a shell, and scratch has none: let a binary of the image do it, after \"CMD\"", h.Test)
		}
	case "NONE":
		if words > 0 || set {
			r.mistake(field, "%q turns the check off, and takes nothing else: leave out the rest", h.Test)
		}
	default:
		r.mistake(field+".Test", "%q starts with %q: "+forms, h.Test, h.Test[0])
	}
	return &v1.HealthConfig{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
}
