package semver

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]Version{
		"v1.2.3":                 {"1", "2", "3", "", ""},
		"1.2.3":                  {"1", "2", "3", "", ""},
		"v0.0.0":                 {"0", "0", "0", "", ""},
		"v1.0.0-rc.1+build.005":  {"1", "0", "0", "rc.1", "build.005"},
		"1.0.0-0A.is.legal":      {"1", "0", "0", "0A.is.legal", ""},
		"1.0.0--":                {"1", "0", "0", "-", ""},
		"1.0.0+-":                {"1", "0", "0", "", "-"},
		"v1":                     {"1", "", "", "", ""},
		"v1.2":                   {"1", "2", "", "", ""},
		"99999999999999999999.0": {"99999999999999999999", "0", "", "", ""},
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("%s is %+v, %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "v", "V1.2.3", "vendored-2024", "v1.2.3.4", "v01.2.3", "v1.02.3", "v1.2.3-", "v1.2.3-01", "v1.2.3-a..b", "v1.2.3+",
		"v1.2.3+a+b", "v1-rc1", "v1.2-rc1", "v1.2+x", "v1.2.", "vv1.2.3", " v1.2.3", "v1.2.3\n", "release-1.2.3", "v1.2.x", "v-1.0.0", "v1.2.3-ü",
	} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is %+v, and is no version", text, got)
		}
	}
}

// The lists go upwards.
func TestCompare(t *testing.T) {
	for _, list := range [][]string{
		// Section 11, and its example.
		{"1.0.0", "2.0.0", "2.1.0", "2.1.1"},
		{"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"},
		{"v0.9.0", "v0.10.0", "v1.0.0-rc1", "v1.0.0"},
		{"v1.0.0-rc.9", "v1.0.0-rc.10", "v1.0.0-rc.10000000000000000000", "v1.0.0-rc.20000000000000000000"},
		{"v1.9.9", "v10.0.0", "v99999999999999999999.0.0"},
		// Short ones.
		{"v1", "v1.0", "v1.2", "v2", "v0.1.0", "v1.0.0-rc1", "v1.0.0"},
		// What precedence doesn't tell.
		{"v1.0.0", "v1.0.0+k3s1", "v1.0.0+k3s1.2", "v1.0.0+k3s1.10", "v1.0.1-rc1"},
		{"v1.0.0+1", "v1.0.0+02", "v1.0.0+2", "v1.0.0+10"},
	} {
		for i, low := range list {
			for j, high := range list {
				v, _ := Parse(low)
				w, _ := Parse(high)
				if got, want := Compare(v, w), sign(i-j); sign(got) != want {
					t.Errorf("Compare(%s, %s) = %d, want %d", low, high, got, want)
				}
			}
		}
	}
	with, _ := Parse("v1.2.3")
	without, _ := Parse("1.2.3")
	if Compare(with, without) != 0 {
		t.Error("the v counts")
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

func FuzzParse(f *testing.F) {
	for _, s := range []string{"v1.2.3-rc.1+b", "v1", "1.2", "v1.0.0-a--", "v1.2.3.4"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, ok1 := Parse(a)
		w, ok2 := Parse(b)
		if ok1 && ok2 && sign(Compare(v, w)) != -sign(Compare(w, v)) {
			t.Errorf("%s and %s: each is above the other", a, b)
		}
	})
}
