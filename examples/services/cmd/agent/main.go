// Agent is a small daemon: it looks at its machine every so often, logs what
// it sees and keeps the last look for whoever asks.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multimage/multimage/examples/services/internal/facts"
	"github.com/multimage/multimage/examples/services/internal/service"
)

// version is set by the linker.
var version = "dev"

func main() { agent().Main() }

func agent() service.Service {
	interval := time.Minute
	return service.Service{
		Name: "agent", Version: version, Port: 9100,
		Flags: func(f *flag.FlagSet) { f.DurationVar(&interval, "interval", interval, "time between two looks") },
		Start: func(ctx context.Context, group *sync.WaitGroup, log *slog.Logger) (http.Handler, error) {
			if interval <= 0 {
				return nil, errors.New("--interval must be positive")
			}
			var last atomic.Pointer[facts.Facts]
			look := func() {
				f := facts.Collect()
				last.Store(&f)
				log.Info("facts", "host", f.Host, "load1", f.Load1, "memoryFree", f.MemoryFree)
			}
			look()
			group.Go(func() {
				ticker := time.NewTicker(interval)
				defer ticker.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-ticker.C:
						look()
					}
				}
			})
			mux := http.NewServeMux()
			mux.HandleFunc("GET /v1/facts", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(last.Load())
			})
			return mux, nil
		},
	}
}
