// Control is a small control plane: a Go daemon that leaves a decision, which
// job goes to which node, to a script in Python. So its image needs Python.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "control:", err)
		os.Exit(1)
	}
}

// run is the program: it serves until ctx ends, or checks itself.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("control", flag.ContinueOnError)
	var (
		address = flags.String("listen", ":8080", "address to listen on")
		check   = flags.Bool("check", false, "run the script once, print what it decides and its versions, then exit")
		s       script
	)
	flags.StringVar(&s.file, "script", "/usr/share/control/place.py", "the script that places jobs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *check {
		return s.check(ctx, stdout)
	}
	server := &http.Server{Addr: *address, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

// script is a file for python3.
type script struct{ file string }

func (s script) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/place", func(w http.ResponseWriter, r *http.Request) {
		placed, err := s.run(r.Context(), http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(placed)
	})
	return mux
}

// run returns what the script prints for the input. What it complains of last is
// in the error.
func (s script) run(ctx context.Context, input io.Reader, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-B", s.file}, args...)...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = input, &said
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return nil, fmt.Errorf("%s: %w: %s", s.file, err, lines[len(lines)-1])
	}
	return out, nil
}

// check is for the test of the image: the script has all that it imports.
func (s script) check(ctx context.Context, stdout io.Writer) error {
	versions, err := s.run(ctx, nil, "--version")
	if err != nil {
		return err
	}
	placed, err := s.run(ctx, strings.NewReader(`{"nodes": {"a": 4, "b": 8}, "jobs": {"web": 6, "db": 3, "batch": 9}}`))
	if err != nil {
		return err
	}
	if want := `{"batch": null, "db": "a", "web": "b"}`; string(placed) != want {
		return fmt.Errorf("%s decides %s, not %s", s.file, placed, want)
	}
	_, err = fmt.Fprintf(stdout, "control %s: %s", version, versions)
	return err
}
