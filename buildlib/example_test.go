package buildlib_test

import (
	"context"
	"fmt"
	"log"

	"github.com/multimage/multimage/buildlib"
)

// A Project becomes a Plan, and a Builder makes its images. This is what the
// mage target images does.
func Example() {
	ctx := context.Background()
	project := buildlib.Project{
		Dir:       "../examples/hello",
		Version:   "v1.2.3",
		Platforms: []string{"linux/arm64", "linux/arm/v7"},
	}
	plan, err := project.Plan(ctx, buildlib.Overrides{})
	if err != nil {
		log.Fatal(err)
	}
	for _, image := range plan.ImagePlans {
		for _, p := range image.Platforms {
			fmt.Println(image.Name, image.Tags, p.Platform, p.Binaries[0].Path)
		}
	}
	b, err := buildlib.Open(ctx, plan, buildlib.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	// Then: images, err := b.Images(ctx)

	// Output:
	// hello [v1.2.3] linux/arm64 /usr/local/bin/hello
	// hello [v1.2.3] linux/arm/v7 /usr/local/bin/hello
}

// All mistakes of a Project are reported at once.
func ExampleProject_Plan() {
	project := buildlib.Project{
		Dir:     "../examples/hello",
		Version: "v1.2.3",
		Images: []buildlib.Image{{
			Name:  "hello",
			Ports: []string{"http"},
			User:  buildlib.User{Name: "Hello"},
		}},
	}
	_, err := project.Plan(context.Background(), buildlib.Overrides{})
	fmt.Println(err)

	// Output:
	// Images[0].User.Name: "Hello" is not a valid user name: use at most 32 lower-case letters, digits, - and _, starting with a letter or _
	// Images[0].Ports[0]: port "http": want a number from 1 to 65535, or a range, and optionally /tcp, /udp or /sctp
}

// A build on several machines: the matrix has a job for each platform, which
// calls Builder.Push with that platform in Overrides. When all have, and their
// dist/digests are in one folder, one machine calls Builder.Merge.
func ExampleBuilder_Matrix() {
	ctx := context.Background()
	project := buildlib.Project{
		Dir:     "../examples/hello",
		Version: "v1.2.3",
		Runners: map[string]string{"linux/arm64": "ubuntu-24.04-arm"},
	}
	plan, err := project.Plan(ctx, buildlib.Overrides{})
	if err != nil {
		log.Fatal(err)
	}
	b, err := buildlib.Open(ctx, plan, buildlib.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	matrix, err := b.Matrix(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range matrix.Include {
		fmt.Println(job.Platform, "on", job.Runner)
	}
	// In a job:     records, err := b.Push(ctx)
	// After them:   images, err := b.Merge(ctx, "gathered")

	// Output:
	// linux/amd64 on ubuntu-latest
	// linux/arm64 on ubuntu-24.04-arm
}

// Options say how a Builder works: here, whom its steps are reported to. What a
// plan lacks is an error before any work.
func ExampleOpen() {
	plan := &buildlib.Plan{Version: "v1.2.3", Dir: "/src/acme", Output: "/src/acme/dist"}
	_, err := buildlib.Open(context.Background(), plan, buildlib.Options{
		Progress: func(e buildlib.Event) {
			if e.Done {
				log.Println(e.Step, e.Platform, e.Subject, e.Elapsed)
			}
		},
	})
	fmt.Println(err)

	// Output:
	// plan: Epoch: it is zero: set the time that goes into images
	// plan: Go.Version: it is empty: go env GOVERSION prints it
	// plan: Go.Root: "" is not an absolute path: go env GOROOT prints it
}
