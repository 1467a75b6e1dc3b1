// Hello is a small web server without dependencies, made to live in an image
// from scratch: it checks its own health, since there is no curl, and says
// whether the TLS roots and time zones that a static program needs are there.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

// run is the program. It serves until ctx ends, or answers one question.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("hello", flag.ContinueOnError)
	var (
		port        = flags.Int("port", 8080, "port to listen on; 0 takes a free one")
		showVersion = flags.Bool("version", false, "print version and platform, then exit")
		health      = flags.Bool("health", false, "ask the server on this machine for its health, then exit")
		check       = flags.Bool("check", false, "look for TLS roots and time zones, then exit")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *showVersion:
		_, err := fmt.Fprintf(stdout, "hello %s %s %s\n", version, platform(), runtime.Version())
		return err
	case *health:
		return askHealth(ctx, *port)
	case *check:
		return checkSystem(stdout)
	}
	return serve(ctx, *port, stdout)
}

// serve answers requests until ctx ends, and lets the open ones finish.
func serve(ctx context.Context, port int, stdout io.Writer) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "hello %s listens on %s\n", version, listener.Addr())

	server := &http.Server{Handler: handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from %s, version %s\n", platform(), version)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// askHealth is for a container's health check: an error unless the server on
// the same port answers 200.
func askHealth(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// checkSystem reports what the program finds on the image that it runs in.
func checkSystem(stdout io.Writer) error {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return fmt.Errorf("TLS roots: %w", err)
	}
	//lint:ignore SA1019 only platform verifiers, of macOS and Windows, hide their roots from Subjects
	roots := len(pool.Subjects())
	if roots == 0 {
		return errors.New("TLS roots: none found")
	}
	const zone = "Europe/Vienna"
	location, err := time.LoadLocation(zone)
	if err != nil {
		return fmt.Errorf("time zones: %w", err)
	}
	noon := time.Date(2026, time.July, 1, 12, 0, 0, 0, time.UTC).In(location)
	_, err = fmt.Fprintf(stdout, "TLS roots: %d\n%s: %s\n", roots, zone, noon.Format("15:04 MST"))
	return err
}

// platform is what this program was compiled for, as images name it:
// linux/arm/v7.
func platform() string {
	p := runtime.GOOS + "/" + runtime.GOARCH
	info, ok := debug.ReadBuildInfo()
	if !ok || runtime.GOARCH != "arm" {
		return p
	}
	for _, s := range info.Settings {
		if s.Key == "GOARM" {
			goarm, _, _ := strings.Cut(s.Value, ",") // 7 or 7,softfloat
			return p + "/v" + goarm
		}
	}
	return p
}
