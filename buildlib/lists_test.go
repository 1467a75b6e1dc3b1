package buildlib

import "testing"

// Of lists, nil is the default, and one that is empty is none.
func TestEmptyListIsNone(t *testing.T) {
	dir := project(t, oneMain())
	count := func(p Project) (binaries, images int) {
		t.Helper()
		resolved := plan(t, dir, p, Overrides{})
		for _, c := range resolved.Compiles {
			binaries += len(c.Mains)
		}
		for _, ip := range resolved.ImagePlans {
			images += len(ip.Platforms)
		}
		return binaries, images
	}
	for name, tt := range map[string]struct {
		project          Project
		binaries, images int
	}{
		"all unset":                {Project{}, 2, 2},
		"no images":                {Project{Images: []Image{}}, 2, 0},
		"an image without binary":  {Project{Binaries: []Binary{}, Images: []Image{{Name: "data", Binaries: []string{}}}}, 0, 2},
		"a binary and no platform": {Project{Binaries: []Binary{{Name: "server", Platforms: []string{}}}}, 0, 0},
	} {
		if b, i := count(tt.project); b != tt.binaries || i != tt.images {
			t.Errorf("%s: %d binaries, %d images, want %d, %d", name, b, i, tt.binaries, tt.images)
		}
	}
	p := plan(t, dir, Project{Binaries: []Binary{}, Images: []Image{{Name: "data", Binaries: []string{}}}}, Overrides{})
	built := images(t, p)
	valid(t, built[0].Layout)
	if m := matrix(t, p); len(m.Include) != 2 {
		t.Errorf("jobs %v, want one per platform of the image", m.Include)
	}
	if n := plan(t, dir, Project{Bench: Bench{Binaries: []string{}}}, Overrides{}).BenchPlan; len(n.Host)+len(n.Platforms) != 0 {
		t.Errorf("the benchmark measures %v", n)
	}
}
