// Device reports to the hub, at once and then again and again.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/multimage/multimage/examples/fleet/internal/roster"
)

// version is set by the linker.
var version = "dev"

func main() {
	hub := flag.String("hub", "http://hub:8080", "URL of the hub")
	every := flag.Duration("every", time.Minute, "how often to report")
	showVersion := flag.Bool("version", false, "print version and platform, then exit")
	flag.Parse()
	if *showVersion {
		fmt.Println("device", version, roster.Platform())
		return
	}
	name, err := os.Hostname()
	if err != nil {
		fmt.Fprintln(os.Stderr, "device:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report := roster.Report{Device: name, Platform: roster.Platform(), Version: version}
	run(ctx, roster.Client{URL: *hub}, report, *every)
}

// run reports until ctx ends. A hub that can't be reached is tried again the
// next time.
func run(ctx context.Context, hub roster.Client, report roster.Report, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := hub.Send(ctx, report); err != nil && ctx.Err() == nil {
			slog.Error("not reported", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
