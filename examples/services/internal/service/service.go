// Package service is what the three programs have in common: flags, a web
// server that ends in order, a health check and a version.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Service is one program.
type Service struct {
	Name    string
	Version string
	Port    int // default of --port
	// Flags adds the program's own flags. It may be nil.
	Flags func(*flag.FlagSet)
	// Start is called once the flags are read. It returns the handler for
	// everything but /healthz and may leave work running in group until ctx
	// ends.
	Start func(ctx context.Context, group *sync.WaitGroup, log *slog.Logger) (http.Handler, error)
}

// Main runs the service as a program and doesn't return.
func (s Service) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.Run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, s.Name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Run serves until ctx ends, or answers --version or --health.
func (s Service) Run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(s.Name, flag.ContinueOnError)
	port := flags.Int("port", s.Port, "port to listen on; 0 takes a free one")
	showVersion := flags.Bool("version", false, "print version and platform, then exit")
	health := flags.Bool("health", false, "ask the server on this machine for its health, then exit")
	if s.Flags != nil {
		s.Flags(flags)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *showVersion:
		_, err := fmt.Fprintf(stdout, "%s %s %s %s\n", s.Name, s.Version, Platform(), runtime.Version())
		return err
	case *health:
		return askHealth(ctx, *port)
	}
	return s.serve(ctx, *port, slog.New(slog.NewJSONHandler(stdout, nil)))
}

func (s Service) serve(ctx context.Context, port int, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	group := &sync.WaitGroup{}
	defer group.Wait()
	defer cancel()

	handler, err := s.Start(ctx, group, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	log.Info("listening", "service", s.Name, "version", s.Version, "address", listener.Addr().String())

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("/", handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	group.Go(func() { failed <- server.Serve(listener) })
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancelGrace := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelGrace()
	return server.Shutdown(grace)
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
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// Platform is what this program was compiled for, as images name it:
// linux/arm/v7.
func Platform() string {
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
