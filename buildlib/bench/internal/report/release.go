package report

import "slices"

// release is what the builds of one release take: every platform of the
// project once, from an empty cache, one after the other.
type release struct {
	platforms []string // those that it counts
	left      []string // those that weren't measured on both sides
	native    cost     // all built natively
	emulated  cost     // the host's own natively, the others emulated
}

// cost is in seconds. Zero processor time: unknown for some platform.
type cost struct{ wall, cpu float64 }

// release adds up the medians of the cold builds. ok is false if nothing was
// measured on both sides.
func (r Report) release() (sum release, ok bool) {
	cpuKnown := true
	for _, s := range r.Summaries() {
		if s.Case != Cold || s.platform.Reference {
			continue
		}
		native, hasNative := s.Native[Wall]
		emulated, hasEmulated := s.Emulated[Wall]
		nativeCPU, emulatedCPU := s.Native[CPU], s.Emulated[CPU]
		if s.platform.Host {
			emulated, hasEmulated, emulatedCPU = native, hasNative, nativeCPU
		}
		if !hasNative || !hasEmulated {
			continue
		}
		ok = ok || !s.platform.Host
		cpuKnown = cpuKnown && nativeCPU.N > 0 && emulatedCPU.N > 0
		sum.platforms = append(sum.platforms, clean(s.Platform))
		sum.native.add(native.Median, nativeCPU.Median)
		sum.emulated.add(emulated.Median, emulatedCPU.Median)
	}
	for _, p := range r.Platforms {
		if name := clean(p.Platform); !p.Reference && !slices.Contains(sum.platforms, name) {
			sum.left = append(sum.left, name)
		}
	}
	for _, name := range r.Left {
		sum.left = append(sum.left, clean(name))
	}
	if !cpuKnown {
		sum.native.cpu, sum.emulated.cpu = 0, 0
	}
	return sum, ok
}

func (c *cost) add(wall, cpu float64) {
	c.wall += wall
	c.cpu += cpu
}
