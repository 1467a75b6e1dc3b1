package report

import "testing"

func TestFormats(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00 s", 0.0004: "0.40 ms", 0.05: "50.0 ms", 0.0994: "99.4 ms", 0.0995: "0.10 s", 0.5: "0.50 s", 9.994: "9.99 s", 9.996: "10.0 s",
		23.64: "23.6 s", 99.94: "99.9 s", 99.96: "100 s", 236.4: "236 s", 1404: "1404 s",
	} {
		if got := seconds(v); got != want {
			t.Errorf("seconds(%v) = %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{
		500: "0.50 kB", 999.4e3: "999 kB", 999.6e3: "1.00 MB", 412.3e6: "412 MB", 999.6e6: "1.00 GB", 16e9: "16.0 GB",
	} {
		if got := size(v); got != want {
			t.Errorf("size(%v) = %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0.04: "0.04×", 0.5: "0.5×", 1: "1.0×", 9.94: "9.9×", 9.96: "9.96×", 10: "10.0×", 12.34: "12.3×", 123.4: "123×"} {
		if got := times(v, "×"); got != want {
			t.Errorf("times(%v) = %s, want %s", v, got, want)
		}
	}
}
