package buildlib_test

import (
	"context"
	"fmt"
	"log"

	"github.com/multimage/multimage/buildlib"
)

// A Project becomes a Plan, and the Plan makes the images. This is what the
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
	// Then: images, err := plan.Images(ctx)

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
	// Images[0].User.Name: "Hello" is no user name: at most 32 lower-case letters, digits, - and _, starting with a letter or _
	// Images[0].Ports[0]: port "http": want a number from 1 to 65535, or a range, and optionally /tcp, /udp or /sctp
}

// A build on several machines: the matrix has a job for each platform, which
// calls Plan.Push with that platform in Overrides. When all have, and their
// dist/digests are in one folder, one machine calls Plan.Merge.
func ExamplePlan_Matrix() {
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
	matrix, err := plan.Matrix(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range matrix.Include {
		fmt.Println(job.Platform, "on", job.Runner)
	}
	// In a job:     records, err := plan.Push(ctx)
	// After them:   images, err := plan.Merge(ctx, "gathered")

	// Output:
	// linux/amd64 on ubuntu-latest
	// linux/arm64 on ubuntu-24.04-arm
}

// A stage of the plan reports its steps as it goes on.
func ExamplePlan_progress() {
	plan := &buildlib.Plan{Version: "v1.2.3"}
	plan.Progress = func(e buildlib.Event) {
		if e.Done {
			log.Println(e.Step, e.Platform, e.Subject, e.Elapsed)
		}
	}
	_, err := plan.Images(context.Background())
	fmt.Println(err)

	// Output:
	// the project has no image: none of its binaries is built for a linux platform, and images are for linux for now
}
