package facts

import "testing"

func TestReading(t *testing.T) {
	if got := load("0.52 0.58 0.59 1/467 3021\n"); got != 0.52 {
		t.Errorf("load: %v", got)
	}
	total, free := memory("MemTotal:       2048 kB\nMemFree:  1 kB\nMemAvailable:   1024 kB\nHugePages_Total: 0\n\n")
	if total != 2<<20 || free != 1<<20 {
		t.Errorf("memory: %d, %d", total, free)
	}
	if load("") != 0 {
		t.Error("load of nothing")
	}
	if f := Collect(); f.CPUs < 1 || f.Time.IsZero() {
		t.Errorf("%+v", f)
	}
}
