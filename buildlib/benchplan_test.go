package buildlib

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/platforms"
)

// benched is a BenchPlan in short: host lines | other lines, as
// PLATFORM:BINARIES.
func benched(p BenchPlan) string {
	line := func(list []BenchPlatform) string {
		var all []string
		for _, bp := range list {
			var names []string
			for _, c := range bp.Compiles {
				for _, m := range c.Mains {
					names = append(names, m.Binary)
				}
			}
			all = append(all, bp.Platform+":"+strings.Join(names, "+"))
		}
		return strings.Join(all, " ")
	}
	return line(p.Host) + " | " + line(p.Platforms)
}

func TestBenchPlan(t *testing.T) {
	host := platforms.Format(platforms.Normalize(platforms.DefaultSpec()))
	// Two platforms that are certainly not the host's.
	others := []string{"linux/riscv64", "windows/arm64", "linux/arm64"}
	for i, o := range others {
		if strings.HasPrefix(o, runtime.GOOS+"/"+runtime.GOARCH) {
			others[i] = "linux/s390x"
		}
	}
	a, b := others[0], others[1]
	all := append([]string{host}, a, b)
	two := files{"go.mod": goMod, "cmd/agent/main.go": program, "cmd/server/main.go": program}
	for _, tt := range []struct {
		name    string
		project Project
		over    Overrides
		want    string
	}{
		{"all", Project{Platforms: all}, Overrides{},
			fmt.Sprintf("%s:agent+server | %s:agent+server %s:agent+server", host, a, b)},
		{"chosen platform", Project{Platforms: all, Bench: Bench{Platforms: []string{b}}}, Overrides{},
			fmt.Sprintf("%s:agent+server | %s:agent+server", host, b)},
		{"chosen binary", Project{Platforms: all, Bench: Bench{Binaries: []string{"server"}}}, Overrides{},
			fmt.Sprintf("%s:server | %s:server %s:server", host, a, b)},
		// The reference line is there though the project isn't built for the host.
		{"not for the host", Project{Platforms: []string{a}}, Overrides{},
			fmt.Sprintf("%s:agent+server | %s:agent+server", host, a)},
		{"a binary of some platforms", Project{Platforms: all, Binaries: []Binary{{Name: "server"}, {Name: "agent", Platforms: []string{a}}}}, Overrides{},
			fmt.Sprintf("%s:server | %s:server+agent %s:server", host, a, b)},
		{"variable for platforms", Project{Platforms: all, Bench: Bench{Platforms: []string{a, b}}}, Overrides{Platforms: []string{b}},
			fmt.Sprintf("%s:agent+server | %s:agent+server", host, b)},
		{"variable for images", Project{Platforms: []string{host, "linux/s390x", "linux/ppc64le"}}, Overrides{Images: []string{"agent"}},
			fmt.Sprintf("%s:agent | linux/s390x:agent linux/ppc64le:agent", host)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := plan(t, project(t, two), tt.project, tt.over)
			if got := benched(p.BenchPlan); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestBenchSettings(t *testing.T) {
	dir := project(t, oneMain())
	p := plan(t, dir, Project{}, Overrides{}).BenchPlan
	if p.Runs != 0 || p.Budget != 30*time.Minute || p.Baseline != "" || p.Tolerance != 0 {
		t.Errorf("defaults %+v", p)
	}
	if p := plan(t, dir, Project{Bench: Bench{Runs: 3}}, Overrides{}).BenchPlan; p.Runs != 3 || p.Budget != 0 {
		t.Errorf("runs that are asked for have a budget: %+v", p)
	}
	p = plan(t, dir, Project{Bench: Bench{Runs: 3, Budget: time.Hour, Baseline: "old.json", Tolerance: 5}}, Overrides{Bench: Bench{Runs: 7, Tolerance: 2}}).BenchPlan
	if p.Runs != 7 || p.Budget != time.Hour || p.Baseline != filepath.Join(dir, "old.json") || p.Tolerance != 2 {
		t.Errorf("overridden %+v", p)
	}
}
