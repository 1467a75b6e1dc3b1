// Fleetctl says which version of the fleet this is.
package main

import (
	"fmt"
	"runtime"
)

var version = "dev"

func main() {
	fmt.Printf("fleetctl %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
}
