package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/bench/internal/measure"
	"github.com/multimage/multimage/buildlib/bench/internal/report"
	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/emulate"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/process"
)

// How often a build is measured by default: a median's confidence interval needs six
// runs, and builds that take seconds can have more.
const (
	usualRuns = 6
	quickRuns = 10
	quick     = 30 * time.Second // a round of all builds
)

// turn is one side's cold build and its warm build with the same cache.
type turn struct {
	line *benchLine
	side *benchSide
}

// turns are the turns of a round. The first round begins with all native builds, so
// that a budget too small for emulated ones measures at least those. Later rounds
// alternate, and the side that goes first changes, so that drift (heat, neighbours)
// affects both alike.
func (b *bench) turns(round int) []turn {
	var first, second []turn
	for i, l := range b.lines {
		sides := l.sides()
		if round > 0 && (round+i)%2 == 1 && len(sides) == 2 {
			sides = []*benchSide{sides[1], sides[0]}
		}
		for _, s := range sides {
			if round == 0 && s.name == report.Emulated {
				second = append(second, turn{l, s})
			} else {
				first = append(first, turn{l, s})
			}
		}
	}
	return append(first, second...)
}

// measure runs rounds until there are enough, or ctx or the budget ends.
func (b *bench) measure(ctx context.Context) {
	p := b.plan.BenchPlan
	wanted := p.Runs
	for round := 0; wanted == 0 || round < wanted; round++ {
		if deadline, ok := ctx.Deadline(); ok && round > 0 && b.length(b.turns(round)) > time.Until(deadline) {
			if round < wanted {
				b.report.Partial = fmt.Sprintf("the budget of %s ended after %d of %d runs", p.Budget, round, wanted)
			}
			break
		}
		turns := b.turns(round)
		for i, t := range turns {
			if t.side.ended {
				continue
			}
			left := time.Duration(0)
			if round > 0 {
				left = b.length(turns[i:]) + time.Duration(max(0, wanted-round-1))*b.length(turns)
			}
			if !b.take(ctx, t, round, wanted, left) {
				b.stopped(fmt.Sprintf("the budget of %s ended in run %d, at %s %s", p.Budget, round+1, t.line.Platform, t.side.name))
				return
			}
		}
		b.sweep()
		if wanted == 0 {
			wanted = usualRuns
			if b.length(turns) < quick {
				wanted = quickRuns
			}
			if deadline, ok := ctx.Deadline(); ok {
				fit := 1
				if l := b.length(turns); l > 0 {
					fit += int(time.Until(deadline) / l)
				}
				wanted = min(wanted, fit)
			}
			b.report.Runs = wanted
		}
	}
}

// stopped notes that the budget or an interrupt ended the benchmark. The files on disk
// stay until the report is written: the workspace removes them.
func (b *bench) stopped(why string) {
	b.report.Partial = why
	for _, l := range b.lines {
		for _, s := range l.sides() {
			if len(s.legs[0].Runs) == 0 && s.legs[0].Failure == "" {
				s.fail(0, "not begun")
			}
		}
	}
}

// length is how long the turns took the last time.
func (b *bench) length(turns []turn) time.Duration {
	var sum time.Duration
	for _, t := range turns {
		if !t.side.ended {
			sum += t.side.took
		}
	}
	return sum
}

// take takes a turn, and reports whether the benchmark goes on.
func (b *bench) take(ctx context.Context, t turn, round, wanted int, left time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	start := time.Now()
	defer func() { t.side.took = time.Since(start) }()
	b.serial++
	dir := filepath.Join(b.rounds(), fmt.Sprint(b.serial))
	err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755)
	if err != nil {
		t.side.fail(0, err.Error())
		return true
	}
	defer func() {
		if ctx.Err() == nil {
			os.RemoveAll(filepath.Join(dir, "cache"))
		}
	}()
	run := fmt.Sprintf("run %d", round+1)
	if wanted > 0 {
		run += fmt.Sprintf(" of %d", wanted)
	}
	for i, name := range caseNames {
		step := b.Begin(buildlib.Event{
			Step: buildlib.StepMeasure, Subject: fmt.Sprintf("%s %s, %s", t.side.name, name, run),
			Platform: t.line.Platform, Left: left - time.Since(start),
		})
		limited, cancel := context.WithTimeoutCause(ctx, t.line.patience(i), errPatience)
		usage, text, err := b.build(limited, t, i, round, dir)
		hangs := errors.Is(context.Cause(limited), errPatience)
		cancel()
		after := time.Since(usage.Start).Round(100 * time.Millisecond)
		if err != nil && ctx.Err() != nil {
			step.Done("cut off")
			if len(t.side.legs[i].Runs) == 0 && errors.Is(context.Cause(ctx), errBudget) {
				t.side.fail(i, fmt.Sprintf("cut off by the budget after %s", after))
			}
			return false
		}
		if err != nil {
			step.Done("failed")
			why := err.Error()
			if hangs {
				why = fmt.Sprintf("still not done after %s, many times what it takes natively", after)
			}
			if how, crashed := emulate.Crashed(err, text); crashed {
				why = "crashed: " + how
				if e := t.line.emulator; t.side == t.line.emulated && e.Version != "" {
					why = fmt.Sprintf("crashed under QEMU %s: %s", e.Version, how)
				}
			}
			t.side.fail(i, strings.TrimSpace(why+"\n"+tail(text)))
			return true
		}
		step.Done("")
		t.side.legs[i].Runs = append(t.side.legs[i].Runs, usage)
		if err := b.collect(ctx, t, i, filepath.Join(dir, name)); err != nil {
			t.side.fail(i, err.Error())
			return true
		}
	}
	return true
}

// errPatience is the cause of a context that ended because a build hangs.
var errPatience = errors.New("the build hangs")

// patience is how long a build may take, far longer than emulation has been seen to.
// Compilers are known to hang under QEMU, and the benchmark has to go on.
func (l *benchLine) patience(leg int) time.Duration {
	runs := l.native.legs[leg].Runs
	if len(runs) == 0 {
		return 24 * time.Hour // it is the native one itself
	}
	longest := slices.MaxFunc(runs, func(a, b measure.Usage) int { return cmp.Compare(a.Wall, b.Wall) }).Wall
	return max(10*time.Minute, time.Duration(100*longest*float64(time.Second)))
}

// fail notes that a leg failed. Its side is not run again.
func (s *benchSide) fail(leg int, why string) {
	s.legs[leg].Failure, s.ended = why, true
}

// build runs the builds of a leg, and measures them as one. The outputs go to a folder
// named like the case, in a subfolder for each call of go.
func (b *bench) build(ctx context.Context, t turn, leg, round int, dir string) (sum measure.Usage, text string, err error) {
	sum.Start = time.Now()
	var total measure.Usage
	for i, c := range t.line.Compiles {
		out := filepath.Join(dir, caseNames[leg], fmt.Sprint(i)) + string(filepath.Separator)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return sum, "", err
		}
		args := slices.Concat(t.side.argv[1:], []string{"build"}, c.Args, t.side.flags)
		if caseNames[leg] == report.Warm {
			file, err := t.line.overlays[i].write(filepath.Join(b.temp, "overlay"), round)
			if err != nil {
				return sum, "", err
			}
			args = append(args, "-overlay="+file)
		}
		args = append(args, "-o", out, "--")
		for _, m := range c.Mains {
			args = append(args, m.Package)
		}
		var output bytes.Buffer
		cmd := process.Command(ctx, t.side.argv[0], args...)
		cmd.Dir = b.plan.ModuleDir(c)
		cmd.Env = slices.Concat(process.Environ(), b.env, c.Env, b.pins, t.side.env, []string{
			"GOCACHE=" + filepath.Join(dir, "cache"), "GOTMPDIR=" + filepath.Join(dir, "tmp"), "PWD=" + cmd.Dir})
		cmd.Stdout, cmd.Stderr = &output, &output
		release := process.Guard(cmd)
		usage, err := measure.Run(cmd)
		release()
		total.Add(usage)
		if err != nil {
			return total, output.String(), err
		}
	}
	return total, "", nil
}

// tail is the end of a failed build's output.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > 12 {
		lines = append([]string{"..."}, lines[len(lines)-12:]...)
	}
	return strings.Join(lines, "\n")
}

// overlay is the one-line change of the main packages of one call of go build.
type overlay []gotool.Package

// write writes go build's -overlay file, and the changed sources that it names. They
// differ between rounds, and are the same for both sides.
func (o overlay) write(dir string, round int) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for i, p := range o {
		if len(p.GoFiles) == 0 {
			return "", fmt.Errorf("%s: no Go file to change for the warm build", p.ImportPath)
		}
		path := filepath.Join(p.Dir, p.GoFiles[0])
		source, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		// The change has to reach the executable: after one to a comment or an unused
		// variable, go would not link again.
		line := fmt.Sprintf("\nvar multimageBench = %d; func init() { multimageBench++; if multimageBench < 0 { println(multimageBench) } }\n", round)
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, p.GoFiles[0]))
		if err := os.WriteFile(changed, append(source, line...), 0o644); err != nil {
			return "", err
		}
		replace[path] = changed
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, data, 0o644)
}

// builtFile is one side's binary.
type builtFile struct {
	path string
	sum  string
}

// collect hashes the binaries of a leg, and compares them with the other side's once
// both exist.
func (b *bench) collect(ctx context.Context, t turn, leg int, dir string) error {
	if t.line.outputs[leg] == nil {
		t.line.outputs[leg] = map[string]*[2]builtFile{}
	}
	side := 0
	if t.side == t.line.emulated {
		side = 1
	}
	for i, c := range t.line.Compiles {
		for _, m := range c.Mains {
			path := filepath.Join(dir, fmt.Sprint(i), m.File)
			h, err := disk.SHA256(ctx, path)
			if err != nil {
				return err
			}
			key := fmt.Sprint(i, "/", m.File)
			files := cmp.Or(t.line.outputs[leg][key], &[2]builtFile{})
			t.line.outputs[leg][key] = files
			files[side] = builtFile{path, h.String()}
			if files[0].sum != "" && files[1].sum != "" {
				if err := b.compare(ctx, t.line, leg, m.Binary, *files); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// compare notes whether both sides' binaries are the same, and keeps different ones.
func (b *bench) compare(ctx context.Context, l *benchLine, leg int, binary string, files [2]builtFile) error {
	same := files[0].sum == files[1].sum && (l.same[leg] == nil || *l.same[leg])
	l.same[leg] = &same
	if files[0].sum == files[1].sum || l.difference[leg] != "" {
		return nil
	}
	what, err := binaryDifference(files[0].path, files[1].path)
	if err != nil {
		what = err.Error()
	}
	l.difference[leg] = fmt.Sprintf("%s: %s", binary, what)
	if !b.different {
		b.different = true
		os.RemoveAll(b.differentDir()) // of an earlier benchmark
	}
	kept := filepath.Join(b.differentDir(), filepath.FromSlash(l.Platform), caseNames[leg])
	if err := os.MkdirAll(kept, 0o755); err != nil {
		return err
	}
	for i, side := range []string{"native", "emulated"} {
		if err := disk.Link(ctx, files[i].path, filepath.Join(kept, binary+"."+side), b.temp, v1.Hash{}); err != nil {
			return err
		}
	}
	l.difference[leg] += fmt.Sprintf(" (both are kept in %s)", kept)
	return nil
}

// differentDir is the folder for binaries that should be equal, but aren't.
func (b *bench) differentDir() string {
	return filepath.Join(b.plan.Output, "bench", "different")
}

// sweep removes a round's outputs.
func (b *bench) sweep() {
	for _, l := range b.lines {
		l.outputs = [2]map[string]*[2]builtFile{}
	}
	os.RemoveAll(b.rounds())
}

// rounds is the folder for a round's outputs, in a subfolder for each turn.
func (b *bench) rounds() string { return filepath.Join(b.temp, "rounds") }
