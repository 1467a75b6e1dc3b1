package report

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) {
			data, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseJSON("bench.json", data)
			if err != nil {
				t.Fatal(err)
			}
			if name == "odd" { // JSON is UTF-8, and says so of what isn't
				got.Platforms[1].Platform = r.Platforms[1].Platform
			}
			if !reflect.DeepEqual(got, r) {
				t.Errorf("read back\n%+v\nwritten\n%+v", got, r)
			}
		})
	}
}

// What other programs read of bench.json, by name.
func TestJSONSummary(t *testing.T) {
	data, err := complete(6).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Format  int
		Host    struct{ Platform string }
		Summary []struct {
			Platform, Case   string
			Native, Emulated map[string]struct {
				N        int
				Median   float64
				Interval struct{ Low, High float64 }
			}
			Ratio map[string]struct {
				Ratio       float64
				Significant bool
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if file.Format != 1 || file.Host.Platform != "linux/amd64" || len(file.Summary) != 8 {
		t.Fatalf("%+v", file)
	}
	arm64 := file.Summary[2]
	if arm64.Platform != "linux/arm64" || arm64.Case != "cold" || arm64.Native["wall"].N != 6 || !arm64.Ratio["wall"].Significant {
		t.Errorf("%+v", arm64)
	}
	near(t, "ratio", arm64.Ratio["wall"].Ratio, 10)
	near(t, "high", arm64.Emulated["wall"].Interval.High, 210)
	for _, metric := range []string{"wall", "cpu", "pss", "maxRSS"} {
		if arm64.Native[metric].Median == 0 {
			t.Errorf("no %s: %+v", metric, arm64.Native)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	good, err := complete(1).JSON()
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(string(good), old) {
			t.Fatalf("no %s in the file", old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for _, tt := range []struct{ name, data, want string }{
		{"a flipped byte", change(`"module": "`, `"module": x`), "bench.json:5: invalid character 'x' looking for beginning of value"},
		{"cut off", string(good[:len(good)/2]), "unexpected EOF"},
		{"of another type", change(`"cores": 2`, `"cores": "two"`), "bench.json:12: host.cores is a string, want int"},
		{"no number", change(`"wall": 20`, `"wall": 1e999`), "number 1e999"},
		{"no time", change(`"start": "2026-01-02T12:00:00Z"`, `"start": "yesterday"`), `bench.json:3: parsing time "yesterday"`},
		{"more behind it", string(good) + "{}", "there is more after the report"},
		{"of the future", change(`"format": 1`, `"format": 2`), "format 2, and this version of multimage reads up to 1"},
		{"something else", `{"results": []}`, "isn't a bench.json"},
		{"no time taken", change(`"wall": 20`, `"wall": 0`), "run 1: no build takes that"},
		{"less than nothing", change(`"maxRSS": 300000000`, `"maxRSS": -1`), "run 1: no build takes that"},
		{"eternal", change(`"user": 30`, `"user": 1e300`), "run 1: no build takes that"},
		{"a case twice", change(`"name": "warm"`, `"name": "cold"`), "linux/amd64: case cold is there twice"},
		{"no name", change(`"name": "warm"`, `"name": " "`), "a name is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseJSON("bench.json", []byte(tt.data))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "bench.json:") {
				t.Errorf("got  %v\nwant bench.json:... %s", err, tt.want)
			}
		})
	}
}
