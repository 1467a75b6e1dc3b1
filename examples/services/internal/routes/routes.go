// Package routes forwards requests to the services that answer them.
package routes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"github.com/gin-gonic/gin"
)

// Route sends what is below a path prefix to a service.
type Route struct {
	Prefix string `json:"prefix"` // /cluster
	Target string `json:"target"` // http://apiserver:8080
}

// Read reads a list of routes in JSON.
func Read(file string) ([]Route, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var routes []Route
	if err := json.Unmarshal(data, &routes); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return routes, nil
}

// Handler serves the routes, without their prefix on what it forwards, and
// lists them under /routes.
func Handler(routes []Route) (http.Handler, error) {
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.GET("/routes", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"routes": routes}) })
	for _, r := range routes {
		target, err := url.Parse(r.Target)
		if err != nil || target.Host == "" {
			return nil, fmt.Errorf("route %s: target %q is not a URL", r.Prefix, r.Target)
		}
		if !strings.HasPrefix(r.Prefix, "/") || r.Prefix == "/" || r.Prefix == "/routes" {
			return nil, fmt.Errorf("route %q: not a path prefix that can be routed", r.Prefix)
		}
		proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
		}}
		engine.Any(r.Prefix+"/*path", gin.WrapH(http.StripPrefix(r.Prefix, proxy)))
	}
	return engine, nil
}
