package measure

import "testing"

func TestReadStat(t *testing.T) {
	var m machine
	m.readStat("cpu  100 1 50 1000 20 3 4 5 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	// guest (60) is in user already; idle and iowait are not busy
	if want := 1.58; !m.known || m.busy != want {
		t.Errorf("busy %v, want %v", m.busy, want)
	}
	if m.steal != 0.05 || m.all != m.busy+m.steal+10.2 {
		t.Errorf("steal %v, all %v", m.steal, m.all)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu a b c d e f g h i j", "intr 1 2 3 4 5 6 7 8 9"} {
		var m machine
		if m.readStat(bad); m.known {
			t.Errorf("%q was understood", bad)
		}
	}
}

func TestStalled(t *testing.T) {
	data := "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n"
	if got := stalled(data, "some"); got != 1.5 {
		t.Errorf("some: %v", got)
	}
	if got := stalled(data, "full"); got != 0.25 {
		t.Errorf("full: %v", got)
	}
	if got := stalled("", "full"); got != 0 {
		t.Errorf("nothing: %v", got)
	}
}

func TestThrottledIn(t *testing.T) {
	for stat, want := range map[string]float64{
		"usage_usec 5\nnr_throttled 3\nthrottled_usec 1500\n":    0.0015,
		"nr_periods 1\nnr_throttled 1\nthrottled_time 2000000\n": 0.002,
		"usage_usec 5\n": 0,
	} {
		if got := throttledIn(stat); got != want {
			t.Errorf("%q: %v, want %v", stat, got, want)
		}
	}
}

func TestCPUName(t *testing.T) {
	for info, want := range map[string]string{
		"processor\t: 0\nmodel name\t: Some  CPU @ 2GHz\n": "Some CPU @ 2GHz",
		"Model\t\t: A Board Rev 1\n":                       "A Board Rev 1",
		"processor\t: 0\n":                                 "",
	} {
		if got := cpuName(info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
