// Apiserver answers questions about a Kubernetes cluster from a view that it
// keeps up to date, so that asking costs the cluster nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"sync"

	"github.com/multimage/multimage/examples/services/internal/cluster"
	"github.com/multimage/multimage/examples/services/internal/service"
)

// version is set by the linker.
var version = "dev"

func main() {
	var kubeconfig, election string
	service.Service{
		Name: "apiserver", Version: version, Port: 8080,
		Flags: func(f *flag.FlagSet) {
			f.StringVar(&kubeconfig, "kubeconfig", "", "how to reach the cluster; default: the one around this pod")
			f.StringVar(&election, "elect-in", "", "namespace to elect a leader in; default: no election")
		},
		Start: func(ctx context.Context, group *sync.WaitGroup, log *slog.Logger) (http.Handler, error) {
			client, err := cluster.Connect(kubeconfig)
			if err != nil {
				return nil, err
			}
			if client == nil {
				log.Warn("no cluster: give --kubeconfig, or run in a pod")
				return handler(nil), nil
			}
			view := cluster.Watch(ctx, client, group)
			if election != "" {
				if err := view.Elect(ctx, client, election, group, log); err != nil {
					return nil, err
				}
			}
			return handler(view), nil
		},
	}.Main()
}

// handler is the API. A nil view answers that there is no cluster.
func handler(view *cluster.View) http.Handler {
	mux := http.NewServeMux()
	list := func(pattern string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if view == nil {
				http.Error(w, "no cluster", http.StatusServiceUnavailable)
				return
			}
			items, err := answer(r)
			switch {
			case errors.Is(err, cluster.ErrNotReady):
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			case err != nil:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			default:
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(items)
			}
		})
	}
	list("GET /v1/pods", func(*http.Request) (any, error) { return view.Pods("") })
	list("GET /v1/namespaces/{namespace}/pods", func(r *http.Request) (any, error) { return view.Pods(r.PathValue("namespace")) })
	list("GET /v1/nodes", func(*http.Request) (any, error) { return view.Nodes() })
	list("GET /v1/leader", func(*http.Request) (any, error) { return map[string]string{"leader": view.Leader()}, nil })
	return mux
}
