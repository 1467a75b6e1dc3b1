// Package roster is what hub, device and fleetctl agree on: a report of one
// device, and the roster of all that reported.
package roster

import (
	"cmp"
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report is what a device says of itself.
type Report struct {
	Device   string    `json:"device"`
	Platform string    `json:"platform"` // as images name it: linux/arm/v7
	Version  string    `json:"version"`
	Seen     time.Time `json:"seen"` // set by the roster
}

// maxReport bounds a report's JSON, in bytes.
const maxReport = 4 << 10

// Roster holds the last report of each device. The zero value is empty.
type Roster struct {
	mu      sync.Mutex
	reports map[string]Report
}

// Handler serves the roster: GET /devices lists it, POST /devices adds a
// report, GET /healthz answers ok.
func (r *Roster) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /devices", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(r.list())
	})
	mux.HandleFunc("POST /devices", func(w http.ResponseWriter, req *http.Request) {
		var report Report
		err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxReport)).Decode(&report)
		if err != nil || report.Device == "" {
			http.Error(w, "want a report with a device", http.StatusBadRequest)
			return
		}
		report.Seen = time.Now().UTC()
		r.add(report)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

func (r *Roster) add(report Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reports == nil {
		r.reports = map[string]Report{}
	}
	r.reports[report.Device] = report
}

// list returns the reports by the devices' names.
func (r *Roster) list() []Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Report, 0, len(r.reports))
	for _, report := range r.reports {
		list = append(list, report)
	}
	slices.SortFunc(list, func(a, b Report) int { return cmp.Compare(a.Device, b.Device) })
	return list
}

// Platform is what this program was compiled for, as images name it.
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
