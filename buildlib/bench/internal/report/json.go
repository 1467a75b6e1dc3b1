package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// document is bench.json.
type document struct {
	Report
	// Summary is computed from the runs, for other programs. It isn't read back.
	Summary []Summary `json:"summary"`
}

// JSON is bench.json: the report, and under "summary" its statistics.
func (r Report) JSON() ([]byte, error) {
	r.Format = Format
	data, err := json.MarshalIndent(document{r, r.Summaries()}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bench.json: %w", err)
	}
	return append(data, '\n'), nil
}

// ParseJSON parses a bench.json of this version or an earlier one. name is the file's
// name in errors, which also name the line.
func ParseJSON(name string, data []byte) (Report, error) {
	var r Report
	d := json.NewDecoder(bytes.NewReader(data))
	err := d.Decode(&r)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var moment *time.ParseError
	switch {
	case errors.As(err, &syntax):
		return Report{}, fmt.Errorf("%s:%d: %w", name, lineOf(data, syntax.Offset), err)
	case errors.As(err, &kind):
		return Report{}, fmt.Errorf("%s:%d: %s is a %s, want %s", name, lineOf(data, kind.Offset), kind.Field, kind.Value, kind.Type)
	case errors.As(err, &moment):
		at := bytes.Index(data, []byte(moment.Value)) + 1
		return Report{}, fmt.Errorf("%s:%d: %w", name, lineOf(data, int64(at)), err)
	case err != nil: // it ends too early
		return Report{}, fmt.Errorf("%s:%d: %w", name, lineOf(data, int64(len(data))), err)
	}
	if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
		return Report{}, fmt.Errorf("%s:%d: there is more after the report", name, lineOf(data, int64(len(data)-len(rest))+1))
	}
	switch {
	case r.Format == 0:
		return Report{}, fmt.Errorf(`%s: it has no "format": it isn't a bench.json`, name)
	case r.Format < 0 || r.Format > Format:
		return Report{}, fmt.Errorf("%s: it is in format %d, and this version of multimage reads up to %d", name, r.Format, Format)
	}
	if err := r.check(); err != nil {
		return Report{}, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// tooMuch is beyond anything measured, in seconds or bytes, but far from where sums and
// quotients overflow.
const tooMuch = 1e18

// check is an error if the report can't come from a measurement.
func (r Report) check() error {
	seen := map[place]bool{}
	for _, p := range r.Platforms {
		for _, c := range p.Cases {
			at := place{platform: clean(p.Platform), name: clean(c.Name)}
			switch {
			case at.platform == "" || at.name == "":
				return fmt.Errorf("platform %q, case %q: a name is empty", p.Platform, c.Name)
			case seen[at]:
				return fmt.Errorf("%s: case %s is there twice", p.Platform, c.Name)
			}
			seen[at] = true
		}
	}
	for at, leg := range r.legs() {
		for i, run := range leg.Runs {
			wrong := math.Round(run.Wall*1e9) <= 0 || run.User < 0 || run.System < 0
			for _, m := range metrics {
				wrong = wrong || m.value(run) < 0 || m.value(run) >= tooMuch
			}
			if wrong {
				return fmt.Errorf("%s: run %d: no build takes that: %g s, of processors %g s and %g s, %d and %d bytes",
					at, i+1, run.Wall, run.User, run.System, run.MaxRSS, run.PSS)
			}
		}
	}
	return nil
}

// lineOf is the line of the byte before offset.
func lineOf(data []byte, offset int64) int {
	offset = min(max(offset-1, 0), int64(len(data)))
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}
