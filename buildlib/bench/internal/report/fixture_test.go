package report

import (
	"fmt"
	"time"

	"github.com/multimage/multimage/buildlib/bench/internal/measure"
)

// All numbers in these tests are made up: round ones, so that a reader sees
// what should come out. Nobody measured them.

// noon is when the made-up measurements begin.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// runs makes n runs around a time, two percent apart.
func runs(n int, wall float64, rss, pss int64) *Leg {
	leg := &Leg{}
	for i := range n {
		// In an order that isn't sorted: 0, 5, 1, 4, 2, 3 of six.
		place := i / 2
		if i%2 == 1 {
			place = n - 1 - i/2
		}
		k := float64(place) - float64(n-1)/2
		factor := 1 + 0.02*k
		leg.Runs = append(leg.Runs, measure.Usage{
			Start: noon.Add(time.Duration(i) * time.Minute), Wall: wall * factor,
			User: 1.5 * wall * factor, System: 0.25 * wall * factor,
			MaxRSS: rss + int64(i)*1_000_000, PSS: pss + int64(i)*1_000_000, Noise: &measure.Noise{Others: 0.01},
		})
	}
	return leg
}

// base is a report without platforms.
func base() Report {
	return Report{
		Format: Format, Start: noon, End: noon.Add(90 * time.Minute), Module: "example.com/made-up", Version: "v1.2.0",
		Revision: "0123456789abcdef0123456789abcdef01234567",
		Host:     measure.Host{Platform: "linux/amd64", CPU: "Made-up CPU @ 2.00GHz", Kernel: "6.1.0", Cores: 2, Memory: 8_000_000_000, Virtual: "kvm"},
		Go:       Go{Version: "go1.26.8"}, Procs: 2, Binaries: []string{"server", "agent"}, Flags: []string{"-trimpath", "-buildvcs=false"},
	}
}

// complete is a measurement in which all went well, with n runs of each leg.
func complete(n int) Report {
	r := base()
	r.Runs, r.Budget = n, 7200
	for _, p := range []struct {
		name   string
		factor float64 // emulated / native
	}{{"linux/amd64", 0}, {"linux/arm64", 10}, {"linux/arm/v7", 8}, {"linux/riscv64", 12}} {
		if p.factor == 0 {
			r.Platforms = append(r.Platforms, Platform{Platform: p.name, Host: true, Cases: []Case{
				{Name: Cold, Native: runs(n, 20, 300e6, 500e6)}, {Name: Warm, Native: runs(n, 2, 250e6, 400e6)},
			}})
			continue
		}
		r.Platforms = append(r.Platforms, Platform{
			Platform: p.name, Emulator: &Emulator{Kind: "binfmt", Path: "/usr/bin/qemu-made-up", Version: "7.2.22"}, Toolchain: "cross-built from go1.26.8",
			Cases: []Case{
				{Name: Cold, Native: runs(n, 20, 300e6, 500e6), Emulated: runs(n, 20*p.factor, 400e6, 700e6), Same: yes()},
				{Name: Warm, Native: runs(n, 2, 250e6, 400e6), Emulated: runs(n, p.factor, 350e6, 600e6), Same: yes()},
			},
		})
	}
	return r
}

// troubled is a measurement in which much went wrong.
func troubled() Report {
	r := complete(3)
	r.Partial = "the budget of 30m0s was used up"
	r.Budget = 1800
	r.Dirty = true
	arm64, arm, riscv := &r.Platforms[1], &r.Platforms[2], &r.Platforms[3]
	arm64.Cases[0].Same = no()
	arm64.Cases[0].Difference = "agent: 5000000 bytes native, 5000016 emulated, from byte 1234 on"
	arm64.Cases[1].Emulated.Runs[1].Noisy = []string{"12 % of the processors stolen", "throttled for 3 s"}
	arm.Cases[0].Emulated = &Leg{Failure: "crashed under QEMU 7.2.22: signal: segmentation fault\n\x1b[31mgo: link failed\x1b[0m"}
	arm.Cases[0].Same = nil
	arm.Cases[1].Emulated.Runs = arm.Cases[1].Emulated.Runs[:1]
	arm.Cases[1].Emulated.Failure = "interrupted in its 2nd run"
	riscv.Emulator, riscv.Toolchain = nil, ""
	riscv.Missing = "no qemu-riscv64 in PATH: install qemu-user-static (Debian), qemu-user-static-riscv (Fedora), qemu-riscv64 (Alpine)"
	for i := range riscv.Cases {
		riscv.Cases[i].Emulated, riscv.Cases[i].Same = nil, nil
	}
	return r
}

// mac is a host that emulates nothing and says nothing of noise or PSS.
func mac() Report {
	r := base()
	r.Host = measure.Host{Platform: "darwin/arm64", CPU: "Made-up M1", Cores: 8}
	r.Revision = ""
	for _, name := range []string{"linux/arm64", "linux/amd64", "windows/amd64"} {
		leg := runs(2, 10, 300e6, 0)
		for i := range leg.Runs {
			leg.Runs[i].PSS, leg.Runs[i].Noise = 0, nil
		}
		r.Platforms = append(r.Platforms, Platform{Platform: name, Missing: "user-mode emulation needs Linux",
			Cases: []Case{{Name: Cold, Native: leg}}})
	}
	return r
}

// odd has names that break careless writers of tables, XML, Mermaid and the
// benchmark format.
func odd() Report {
	r := complete(1)
	r.Module = `example.com/"odd" & <b>|` + "`x`"
	r.Flags = []string{"-ldflags=-X 'main.a=b|c' <&> ```", "-tags=a,b"}
	r.Host.CPU = "CPU\nBenchmarkInjected 1 1 ns/op"
	r.Platforms = r.Platforms[:2]
	r.Platforms[1].Platform = "li nux_2/<arm64>&\"v9\"|`]%\n\x1b[31m\xff\uffff a name that is much too long for its place"
	r.Platforms[1].Cases[0].Name = "cold/=-7"
	return r
}

// fixtures are all of them, by the folder of what they should give.
func fixtures() map[string]Report {
	all := map[string]Report{"empty": base(), "trouble": troubled(), "mac": mac(), "odd": odd()}
	for _, n := range []int{1, 3, 6} {
		all[fmt.Sprintf("runs%d", n)] = complete(n)
	}
	return all
}
