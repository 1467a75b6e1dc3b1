// Router is the way in: it forwards requests to the services behind it.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"sync"

	"github.com/multimage/multimage/examples/services/internal/routes"
	"github.com/multimage/multimage/examples/services/internal/service"
)

// version is set by the linker.
var version = "dev"

func main() {
	var file string
	service.Service{
		Name: "router", Version: version, Port: 8000,
		Flags: func(f *flag.FlagSet) { f.StringVar(&file, "routes", "", "JSON file of the routes; default: none") },
		Start: func(_ context.Context, _ *sync.WaitGroup, log *slog.Logger) (http.Handler, error) {
			var table []routes.Route
			if file != "" {
				var err error
				if table, err = routes.Read(file); err != nil {
					return nil, err
				}
			}
			log.Info("routing", "routes", len(table))
			return routes.Handler(table)
		},
	}.Main()
}
