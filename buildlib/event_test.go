package buildlib

import "testing"

// A step that fails ends, too: who shows what runs must not show it for ever.
func TestFailedStepEnds(t *testing.T) {
	broken := oneMain()
	broken["cmd/server/main.go"] = "package main\n\nfunc main() { undefined() }\n"
	for _, tt := range []struct {
		step    Step
		files   files
		project Project
	}{
		{StepCompile, broken, Project{}},
		{StepPush, oneMain(), Project{Version: "1.0", Registries: []string{refusingRegistry(t)}}},
		{StepBase, oneMain(), Project{Images: []Image{{Name: "server", Base: "oci:nowhere"}}}},
	} {
		tt.project.Platforms = []string{"linux/amd64"}
		p, events := watched(t, project(t, tt.files), tt.project, Overrides{})
		if _, err := p.Manifest(t.Context()); err == nil {
			t.Fatalf("%s: it worked", tt.step)
		}
		running, failed := map[[3]string]bool{}, 0
		for _, e := range events.events {
			key := [3]string{string(e.Step), e.Subject, e.Platform}
			switch {
			case !e.Done:
				running[key] = true
			case e.Step == tt.step && e.Err != nil:
				failed++
				fallthrough
			default:
				delete(running, key)
			}
		}
		if failed != 1 || len(running) > 0 {
			t.Errorf("%s: %d failed, %v never ended", tt.step, failed, running)
		}
	}
}
