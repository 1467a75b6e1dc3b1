package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib"
)

// checkDeploy looks at the files that deploy examples/services: the values that
// Render made, and a manifest that pin wrote the digest into.
func checkDeploy(t *testing.T, e *example, images []buildlib.ImageResult) {
	t.Helper()
	values, err := os.ReadFile(filepath.Join(e.dir, "dist", "deploy", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if image.Name == "agent" {
			checkPin(t, e, image)
			continue
		}
		want := image.Name + ":\n  image:\n    repository: " + image.Refs[0].Repository + "\n    tag: " + image.Tags[0] + "\n    digest: " + image.Digest.String() + "\n"
		if !strings.Contains(string(values), want) {
			t.Errorf("the values are\n%s\nwant in them\n%s", values, want)
		}
	}
}

func checkPin(t *testing.T, e *example, agent buildlib.ImageResult) {
	t.Helper()
	const published = "ghcr.io/acme/agent"
	file := filepath.Join(e.dir, "deploy", "agent.yaml")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	here := agent.Refs[0].Repository
	writeFile(t, file, strings.ReplaceAll(string(before), published, here))
	e.run(t, "go", "tool", "mage", "pin", "deploy/agent.yaml")
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(string(before), published+":latest", here+":latest@"+agent.Digest.String())
	if string(after) != want {
		t.Errorf("pinned\n%s\nwant\n%s", after, want)
	}
	writeFile(t, file, string(before)) // the checkout is as it was
}
