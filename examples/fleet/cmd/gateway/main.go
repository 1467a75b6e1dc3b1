// The gateway answers HTTP requests.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"runtime"
	"time"
)

var version = "dev"

func main() {
	addr := flag.String("addr", ":8080", "address to listen at")
	flag.Parse()
	http.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "gateway %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
	})
	server := http.Server{Addr: *addr, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
