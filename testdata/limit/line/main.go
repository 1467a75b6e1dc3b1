// Line stands between a build and the world: a registry, and a module proxy
// made of a folder. It counts what goes through, and lets no more through in a
// second than it is told, each request as much later.
//
//	line -registry 127.0.0.1:5000 [-modules GOMODCACHE/cache/download] [-rate 50e6] [-delay 20ms] [-listen ADDRESS]
//
// It prints its address. There /modules/ is for GOPROXY, all below /v2/ is the
// registry's, and /count answers with the requests and the bytes sent and
// received, of bodies alone, since it was asked last.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// direction is one of the two that a line has.
type direction struct {
	rate  float64 // bytes a second; 0: as many as there are
	bytes atomic.Int64
	mu    sync.Mutex
	free  time.Time // when all that has gone through has gone through
}

// pass returns when n bytes more have gone through.
func (d *direction) pass(n int) {
	d.bytes.Add(int64(n))
	if d.rate == 0 {
		return
	}
	d.mu.Lock()
	if now := time.Now(); d.free.Before(now) {
		d.free = now
	}
	d.free = d.free.Add(time.Duration(float64(n) / d.rate * 1e9))
	until := d.free
	d.mu.Unlock()
	time.Sleep(time.Until(until))
}

type body struct {
	io.ReadCloser
	d *direction
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 32<<10)])
	b.d.pass(n)
	return n, err
}

type writer struct {
	http.ResponseWriter
	d *direction
}

func (w writer) Write(p []byte) (int, error) {
	w.d.pass(len(p))
	return w.ResponseWriter.Write(p)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	registry := flag.String("registry", "", "the registry's address")
	modules := flag.String("modules", "", "a folder as GOMODCACHE/cache/download")
	rate := flag.Float64("rate", 0, "bytes a second in each direction; 0: no limit")
	delay := flag.Duration("delay", 0, "before each request")
	flag.Parse()
	sent, received := &direction{rate: *rate}, &direction{rate: *rate}
	var requests atomic.Int64
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: *registry})
			r.Out.Host = r.In.Host // the registry's locations come back here
			if r.Out.Body != nil {
				r.Out.Body = body{r.Out.Body, sent}
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = body{r.Body, received}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(http.StatusBadGateway) },
	}
	files := http.StripPrefix("/modules", http.FileServer(http.Dir(*modules)))
	http.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		time.Sleep(*delay)
		proxy.ServeHTTP(w, r)
	})
	http.HandleFunc("/modules/", func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		time.Sleep(*delay)
		files.ServeHTTP(writer{w, received}, r)
	})
	http.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, requests.Swap(0), sent.bytes.Swap(0), received.bytes.Swap(0))
	})
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, nil))
}
