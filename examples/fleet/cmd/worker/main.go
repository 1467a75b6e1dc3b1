// The worker prints the sum of the numbers that it reads.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

var version = "dev"

func main() {
	sum, err := add(os.Stdin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "worker %s: %v\n", version, err)
		os.Exit(1)
	}
	fmt.Println(sum)
}

func add(r io.Reader) (sum int, err error) {
	for {
		var n int
		switch _, err := fmt.Fscan(r, &n); {
		case errors.Is(err, io.EOF):
			return sum, nil
		case err != nil:
			return 0, err
		}
		sum += n
	}
}
