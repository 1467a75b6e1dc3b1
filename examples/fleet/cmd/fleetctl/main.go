// Fleetctl lists the devices that a hub knows. It fails if the hub doesn't
// answer, so it serves as the hub's health check, too.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/multimage/multimage/examples/fleet/internal/roster"
)

// version is set by the linker.
var version = "dev"

func main() {
	hub := flag.String("hub", "http://127.0.0.1:8080", "URL of the hub")
	showVersion := flag.Bool("version", false, "print version and platform, then exit")
	flag.Parse()
	if *showVersion {
		fmt.Println("fleetctl", version, roster.Platform())
		return
	}
	list, err := roster.Client{URL: *hub}.List(context.Background())
	if err == nil {
		err = write(os.Stdout, list)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleetctl:", err)
		os.Exit(1)
	}
}

func write(to io.Writer, list []roster.Report) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tPLATFORM\tVERSION\tSEEN")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Device, r.Platform, r.Version, r.Seen.Format(time.RFC3339))
	}
	return w.Flush()
}
