package roster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Client asks a hub. URL is the hub's, like http://127.0.0.1:8080.
type Client struct {
	URL string
}

// Send adds a report to the hub's roster.
func (c Client) Send(ctx context.Context, report Report) error {
	body, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, body, nil)
}

// List returns the hub's roster.
func (c Client) List(ctx context.Context) ([]Report, error) {
	var list []Report
	err := c.do(ctx, http.MethodGet, nil, &list)
	return list, err
}

// do asks for /devices and decodes the answer into result, if that isn't nil.
func (c Client) do(ctx context.Context, method string, body []byte, result any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	url := strings.TrimSuffix(c.URL, "/") + "/devices"
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	if result == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(result)
}
