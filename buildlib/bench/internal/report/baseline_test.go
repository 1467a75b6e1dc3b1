package report

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kept writes a file as a CI would keep it.
func kept(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func jsonOf(t *testing.T, r Report) []byte {
	t.Helper()
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Both files say the same of a measurement, whatever they are called.
func TestRead(t *testing.T) {
	for name, r := range map[string]Report{"complete": complete(4), "trouble": troubled(), "mac": mac(), "odd": odd()} {
		t.Run(name, func(t *testing.T) {
			want := r.Record("this run")
			for file, data := range map[string][]byte{"bench.json": jsonOf(t, r), "bench.txt": r.Text(), "json.txt": jsonOf(t, r), "text": r.Text()} {
				got, err := Read(kept(t, file, data))
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if got.Name != file || got.About != want.About || got.noisy != want.noisy {
					t.Errorf("%s: %s, %q, %d noisy; want %q, %d", file, got.Name, got.About, got.noisy, want.About, want.noisy)
				}
				if !slices.Equal(got.legs, want.legs) {
					t.Errorf("%s: measured %v, want %v", file, got.legs, want.legs)
				}
				for _, l := range want.legs {
					for _, m := range metrics {
						a, b := got.series[l][m], want.series[l][m]
						if len(a) != len(b) {
							t.Errorf("%s: %s: %d values of %s, want %d", file, l, len(a), m, len(b))
							continue
						}
						for i := range a {
							near(t, file+" "+l.String()+" "+string(m), a[i], b[i])
						}
					}
				}
				for key := range want.setup {
					if !slices.Equal(got.setup[key], want.setup[key]) {
						t.Errorf("%s: %s is %q, want %q", file, key, got.setup[key], want.setup[key])
					}
				}
			}
		})
	}
}

// People put files together, leave lines out, and have other benchmarks.
func TestReadEdited(t *testing.T) {
	a, b := complete(2), complete(3)
	b.Go.Version = "go1.27.0"
	text := "notes of mine\nBenchmarkEncode-8 100 17 ns/op\nBenchmarkBuild-8 100 17 ns/op\n" + string(a.Text()) + "PASS\nok  \tx\t1.2s\n" + string(b.Text()) +
		"BenchmarkBuild/platform=linux_arm64/case=cold/side=native-2 3 20 sec/op 7 moods/op\n"
	rec, err := Read(kept(t, "all.txt", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(rec.series[place{"linux/arm64", Cold, Native}][Wall]); got != 6 {
		t.Errorf("%d runs of 2 and 3 and 1", got)
	}
	if got := len(rec.series[place{"linux/arm64", Warm, Emulated}][MaxRSS]); got != 5 {
		t.Errorf("%d runs of 2 and 3", got)
	}
	if !slices.Equal(rec.setup["go"], []string{"go1.26.8", "go1.27.0"}) {
		t.Errorf("Go versions %q", rec.setup["go"])
	}
	if len(rec.legs) != 14 {
		t.Errorf("measured %v", rec.legs)
	}
}

func TestReadErrors(t *testing.T) {
	text := string(complete(1).Text())
	line := 1 + strings.Count(text[:strings.Index(text, "BenchmarkBuild")], "\n")
	first := strings.Split(text, "\n")[line-1]
	replace := func(with string) string { return strings.Replace(text, first, with, 1) }
	at := func(what string) string { return "bench.txt:" + positive(line) + ": " + what }
	for _, tt := range []struct{ name, data, want string }{
		{"empty", "", "has no measurements (want a bench.json, or a bench.txt with BenchmarkBuild/platform=PLATFORM/case=CASE/side=SIDE results)"},
		{"garbage", "\x00\x01\x02\xff\xfe\n\n", "has no measurements"},
		{"somebody else's", "BenchmarkEncode-8 100 17 ns/op\n", "has no measurements"},
		{"JSON without any", string(jsonOf(t, base())), "has no measurements"},
		{"not JSON", "{", "bench.txt:1: unexpected EOF"},
		{"no value", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1"), at("missing measurements")},
		{"cut in a number", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 2000"), at("missing units")},
		{"cut in a unit", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 20000000000 ns"), at("linux/amd64 cold native: it has no ns/op: the line is not complete")},
		{"no number", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 2O ns/op"), at("parsing measurement: invalid syntax")},
		{"not a number", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 NaN ns/op"), at("linux/amd64 cold native: no build takes NaN ns/op")},
		{"without end", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 +Inf ns/op"), at("linux/amd64 cold native: no build takes +Inf ns/op")},
		{"no time", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 0 ns/op"), at("linux/amd64 cold native: no build takes 0 ns/op")},
		{"less than nothing", replace("BenchmarkBuild/platform=linux_amd64/case=cold/side=native 1 1 ns/op -1 peak-RSS-bytes"), at("linux/amd64 cold native: no build takes -1 peak-RSS-bytes")},
		{"a name half escaped", replace("BenchmarkBuild/platform=linux%2/case=cold/side=native 1 1 ns/op"), at(`/platform=linux%2: invalid URL escape "%2"`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := kept(t, "bench.txt", []byte(tt.data))
			_, err := Read(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "baseline "+path) {
				t.Errorf("got  %v\nwant baseline %s: ... %s", err, path, tt.want)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none.json")
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want one that names %s", err, path)
		}
	})
	t.Run("a folder", func(t *testing.T) {
		path := t.TempDir()
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want one that names %s", err, path)
		}
	})
	t.Run("huge", func(t *testing.T) {
		path := kept(t, "huge", nil)
		if err := os.Truncate(path, maxBaseline+1); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "it is not a bench.json or bench.txt") {
			t.Errorf("got %v", err)
		}
	})
}

// Whatever a file holds, reading it gives an error or something that can be
// compared, with itself and with a real measurement.
func FuzzRead(f *testing.F) {
	for _, r := range []Report{complete(1), troubled(), odd()} {
		data, err := r.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(r.Text())
	}
	f.Add([]byte("BenchmarkBuild/platform=a/case=b/side=c 1 1e-300 ns/op 1e17 peak-RSS-bytes\nUnit ns/op assume=exact\n"))
	current := complete(2).Record("now")
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := parse("bench", data)
		if err != nil {
			if !strings.Contains(err.Error(), "bench") {
				t.Errorf("the error doesn't name the file: %v", err)
			}
			return
		}
		c, err := Compare(rec, rec, 5)
		if err != nil {
			t.Fatalf("not comparable with itself: %v", err)
		}
		if c.Err() != nil {
			t.Errorf("worse than itself: %v", c.Err())
		}
		if s := c.String(); strings.ContainsAny(s, "\x1b\x00") {
			t.Errorf("it controls the terminal: %q", s)
		}
		if c, err := Compare(rec, current, 5); err == nil {
			_ = c.String()
		}
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			r, err := ParseJSON("bench", data)
			if err != nil {
				t.Fatal(err)
			}
			_, _, _ = r.Table(), r.Markdown(c), r.Chart()
			if _, err := r.JSON(); err != nil {
				t.Errorf("it can't be written again: %v", err)
			}
		}
	})
}
