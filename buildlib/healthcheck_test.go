package buildlib

import (
	"cmp"
	"fmt"
	"reflect"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestHealthcheck(t *testing.T) {
	cmd, none := []string{"CMD", "/app", "--check"}, []string{"NONE"}
	for name, tt := range map[string]struct {
		check Healthcheck
		base  string // zero: one with a shell
		want  *v1.HealthConfig
		wrong string // what is said of Images[0].Healthcheck; empty: nothing
	}{
		"the base's": {},
		"none":       {check: Healthcheck{Test: none}, want: &v1.HealthConfig{Test: none}},
		"empty":      {check: Healthcheck{Test: []string{}}, want: &v1.HealthConfig{Test: none}},
		"all": {
			check: Healthcheck{Test: cmd, Interval: time.Minute, Timeout: time.Second, StartPeriod: time.Hour, StartInterval: time.Millisecond, Retries: 1},
			base:  scratch,
			want:  &v1.HealthConfig{Test: cmd, Interval: time.Minute, Timeout: time.Second, StartPeriod: time.Hour, Retries: 1},
		},
		"shell": {check: Healthcheck{Test: []string{"CMD-SHELL", "a || b"}}, want: &v1.HealthConfig{Test: []string{"CMD-SHELL", "a || b"}}},
		"no shell": {check: Healthcheck{Test: []string{"CMD-SHELL", "a"}}, base: scratch,
			wrong: `.Test: ["CMD-SHELL" "a"] needs a shell, and scratch has none: let a binary of the image do it, after "CMD"`},
		"shell with words": {check: Healthcheck{Test: []string{"CMD-SHELL", "a", "b"}},
			wrong: `.Test: ["CMD-SHELL" "a" "b"] is not one command: want "CMD" and a program with its arguments, "CMD-SHELL" and one command, or "NONE"`},
		"command alone": {check: Healthcheck{Test: []string{"/app"}},
			wrong: `.Test: ["/app"] starts with "/app": want "CMD" and a program with its arguments, "CMD-SHELL" and one command, or "NONE"`},
		"no program": {check: Healthcheck{Test: []string{"CMD"}},
			wrong: `.Test: ["CMD"] names no program: want "CMD" and a program with its arguments, "CMD-SHELL" and one command, or "NONE"`},
		"no test": {check: Healthcheck{Interval: time.Second},
			wrong: `.Test: is not set, and the other fields need it: name the command, or leave all unset for the base's`},
		"none with times": {check: Healthcheck{Test: none, Retries: 2}, wrong: `: ["NONE"] turns the check off, and takes nothing else: leave out the rest`},
		"seconds as a number": {check: Healthcheck{Test: cmd, Timeout: 30},
			wrong: `.Timeout: 30ns is less than a millisecond, the minimum of engines: want one like 30*time.Second`},
		"negative": {check: Healthcheck{Test: cmd, Retries: -1}, wrong: `.Retries: -1 is negative`},
	} {
		t.Run(name, func(t *testing.T) {
			r := &resolver{}
			got := r.healthcheck(draft{Image: Image{Healthcheck: tt.check}, field: "Images[0]"}, cmp.Or(tt.base, "alpine:3"))
			if tt.wrong != "" {
				if want := "[Images[0].Healthcheck" + tt.wrong + "]"; fmt.Sprint(r.mistakes) != want {
					t.Errorf("mistakes %v, want %s", r.mistakes, want)
				}
				return
			}
			if len(r.mistakes) > 0 || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, r.mistakes, tt.want)
			}
		})
	}
}
