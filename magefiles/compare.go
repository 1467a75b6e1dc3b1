//go:build mage

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// Compare measures multimage, bare go, ko and BuildKit side by side, with REGISTRY
//
// testdata/limit/compare says what it needs, and lists its settings. dist/compare.txt
// has each run.
func Compare(ctx context.Context, registry string) error {
	script, err := filepath.Abs("testdata/limit/compare")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("dist", 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, script, registry)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = "dist", os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
