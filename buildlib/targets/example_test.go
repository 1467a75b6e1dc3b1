package targets_test

import (
	"context"
	"fmt"
	"log"

	"github.com/magefile/mage/mg"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/targets"
)

// Generate is a step of the project's own.
func Generate(context.Context) error {
	fmt.Println("generated")
	return nil
}

// A target of the project's own runs a step before one of multimage's, and uses
// what that made. In a magefile its name would be Images.
func Example() {
	targets.Project = buildlib.Project{
		Dir: "../../examples/hello", Version: "v1.2.3", Platforms: []string{"linux/amd64", "linux/arm64"},
	}
	images := func(ctx context.Context) error {
		mg.CtxDeps(ctx, Generate)
		b, err := targets.Open(ctx) // the Builder that targets.Images uses
		if err != nil {
			return err
		}
		for _, image := range b.Plan().ImagePlans {
			fmt.Println(image.Name, image.Tags, len(image.Platforms))
		}
		return nil // or targets.Images(ctx)
	}
	if err := images(context.Background()); err != nil {
		log.Fatal(err)
	}

	// Output:
	// generated
	// hello [v1.2.3] 2
}
