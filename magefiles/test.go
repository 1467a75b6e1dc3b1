//go:build mage

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// event is a line of go test -json.
type event struct{ Action, Package, Test, Output string }

// Test runs "go test ./...", and says at the end what was skipped, and why
//
// go test itself doesn't show skipped tests of a package whose tests pass.
func Test(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "./...")
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	skipped, reading := watch(pipe)
	if reading != nil {
		_, _ = io.Copy(io.Discard, pipe)
	}
	err = errors.Join(reading, cmd.Wait())
	if len(skipped) > 0 {
		fmt.Printf("\nskipped, and how many tests:\n%s\nTo run them, install what they need; .ci/run does, on a Debian machine of its own, and runs everything.\n", strings.Join(skipped, ""))
	}
	return err
}

// watch prints how each package ends, and the output of failing tests. It returns a line
// for each reason why tests of a package were skipped, with their number.
func watch(events io.Reader) (skipped []string, err error) {
	output := map[string][]string{} // by package and test
	skips := map[string]int{}
	d := json.NewDecoder(events)
	for {
		var e event
		if err := d.Decode(&e); err == io.EOF {
			for _, why := range slices.Sorted(maps.Keys(skips)) {
				skipped = append(skipped, fmt.Sprintf("  %s: %d\n", why, skips[why]))
			}
			return skipped, nil
		} else if err != nil {
			return skipped, err
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "output" || e.Action == "build-output":
			output[key] = append(output[key], e.Output)
		case e.Action == "skip" && e.Test != "":
			skips[path.Base(e.Package)+": "+reason(output[key])]++
		case e.Action == "build-fail" || e.Action == "fail" && e.Test != "":
			fmt.Print(strings.Join(output[key], ""))
		case e.Test == "" && len(output[key]) > 0 && (e.Action == "pass" || e.Action == "skip" || e.Action == "fail"):
			lines := output[key]
			if e.Action != "fail" {
				lines = lines[len(lines)-1:] // ok, or no test files
			}
			fmt.Print(strings.Join(lines, ""))
		}
		if e.Action == "pass" || e.Action == "skip" || e.Action == "fail" {
			delete(output, key)
		}
	}
}

// reason is the last message of a test that was skipped, without x_test.go:1.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		text := strings.TrimSpace(line)
		if _, why, ok := strings.Cut(text, "_test.go:"); ok {
			_, why, _ = strings.Cut(why, ": ")
			return why
		}
	}
	return "no reason given"
}
