package report

// Estimate is what the runs of a leg say of one metric.
type Estimate struct {
	N      int     `json:"n"` // runs
	Median float64 `json:"median"`
	// Interval is nil with too few runs for one: 6 are needed.
	Interval *Interval `json:"interval,omitempty"`
}

// Interval is where the true median lies, with at least the confidence (0 to
// 1) given. Zero confidence: it isn't known.
type Interval struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence,omitempty"`
}

// Ratio compares the emulated with the native side of a case.
type Ratio struct {
	Ratio float64 `json:"ratio"` // of the medians, emulated / native
	// Bounds are the quotients of the intervals' bounds that are farthest
	// apart, so they are conservative. Nil where a side has no interval.
	Bounds *Interval `json:"bounds,omitempty"`
	// P is the probability to see such a difference, or a greater one, if
	// there were none (Mann-Whitney U test).
	P float64 `json:"p"`
	// Significant says whether P is at most 0.05. Nil: there are too few
	// runs for any difference to be; 4 on each side are enough.
	Significant *bool `json:"significant,omitempty"`
}

// Summary is the statistics of one case of one platform.
type Summary struct {
	Platform string `json:"platform"`
	Case     string `json:"case"`
	// A metric that is unknown, or whose side has no runs, has no entry.
	Native   map[Metric]Estimate `json:"native,omitempty"`
	Emulated map[Metric]Estimate `json:"emulated,omitempty"`
	Ratio    map[Metric]Ratio    `json:"ratio,omitempty"`
	// Noisy is how many runs of each side are flagged.
	NoisyNative   int `json:"noisyNative,omitempty"`
	NoisyEmulated int `json:"noisyEmulated,omitempty"`

	platform Platform
	legs     Case
}

// Summaries are the statistics of all cases, in the report's order. Noisy runs
// are in them: whoever leaves out what doesn't fit measures his own choice.
func (r Report) Summaries() []Summary {
	var all []Summary
	for _, p := range r.Platforms {
		for _, c := range p.Cases {
			s := Summary{Platform: p.Platform, Case: c.Name, Ratio: map[Metric]Ratio{}, platform: p, legs: c}
			s.Native, s.NoisyNative = c.Native.estimates()
			s.Emulated, s.NoisyEmulated = c.Emulated.estimates()
			for _, m := range metrics {
				if native, emulated := c.Native.values(m), c.Emulated.values(m); len(native) > 0 && len(emulated) > 0 {
					s.Ratio[m] = ratio(native, emulated)
				}
			}
			all = append(all, s)
		}
	}
	return all
}

// values are the metric of the runs where it is known.
func (l *Leg) values(m Metric) []float64 {
	if l == nil {
		return nil
	}
	var values []float64
	for _, r := range l.Runs {
		if v := m.of(r); v > 0 {
			values = append(values, v)
		}
	}
	return values
}

func (l *Leg) estimates() (all map[Metric]Estimate, noisy int) {
	if l == nil {
		return nil, 0
	}
	all = map[Metric]Estimate{}
	for _, m := range metrics {
		if values := l.values(m); len(values) > 0 {
			all[m] = estimate(values)
		}
	}
	return all, l.noisy()
}

// noisy counts the runs that are flagged.
func (l *Leg) noisy() int {
	n := 0
	for _, r := range l.Runs {
		if len(r.Noisy) > 0 {
			n++
		}
	}
	return n
}

func ratio(native, emulated []float64) Ratio {
	n, e := estimate(native), estimate(emulated)
	r := Ratio{Ratio: e.Median / n.Median}
	if n.Interval != nil && e.Interval != nil {
		r.Bounds = &Interval{Low: e.Interval.Low / n.Interval.High, High: e.Interval.High / n.Interval.Low}
	}
	r.P, r.Significant = differ(native, emulated)
	return r
}
