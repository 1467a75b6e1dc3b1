package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/store"
)

// Client fetches indexes and packages, and keeps in the cache what has a
// known digest. Plain HTTP is enough: every byte is checked against a signed
// digest.
type Client struct {
	Cache store.Cache
	// Transport sends the requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Agent is the User-Agent of requests.
	Agent string
}

// Gone is the error of a URL that the server doesn't have.
type Gone struct{ URL string }

func (g *Gone) Error() string { return g.URL + ": the server doesn't have it (any more)" }

// tries is how often a request is sent if the server is busy or the connection
// breaks.
const tries = 4

// Get calls read with the content of a URL, again from the start if the
// connection breaks.
func (c *Client) Get(ctx context.Context, rawURL string, read func(io.Reader) error) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s: only http and https are fetched", rawURL)
	}
	for try := 1; ; try++ {
		again, err := c.get(ctx, rawURL, read)
		if err == nil || !again || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(try*try) * time.Second):
		}
	}
}

func (c *Client) get(ctx context.Context, rawURL string, read func(io.Reader) error) (again bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const patience = time.Minute
	stall := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no byte came for %v", patience)) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return false, err
	}
	if c.Agent != "" {
		req.Header.Set("User-Agent", c.Agent)
	}
	client := http.Client{Transport: c.Transport}
	res, err := client.Do(req)
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		return false, &Gone{rawURL}
	case res.StatusCode != http.StatusOK:
		return res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500, fmt.Errorf("%s: %s", rawURL, res.Status)
	}
	body := &body{r: res.Body, alive: func() { stall.Reset(patience) }}
	if err := read(body); err != nil {
		if body.err != nil {
			return ctx.Err() == nil, fmt.Errorf("%s: %w", rawURL, errors.Join(err, context.Cause(ctx)))
		}
		return false, fmt.Errorf("%s: %w", rawURL, err)
	}
	return false, nil
}

// body keeps the error of a broken connection, to tell it from content that its
// reader refuses.
type body struct {
	r     io.Reader
	alive func()
	err   error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.alive()
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// Open returns the content with that sha256, from the cache or else from the
// URL. Other content is an error, and so is more than most bytes of it: a server
// could send until the disk is full.
func (c *Client) Open(ctx context.Context, rawURL, sha256 string, most int64) (io.ReadCloser, error) {
	want, err := v1.NewHash("sha256:" + sha256)
	if err != nil {
		return nil, fmt.Errorf("%s: sha256 %q: %w", rawURL, sha256, err)
	}
	if _, err := c.Cache.Blob(want); err != nil {
		if err := c.Get(ctx, rawURL, func(r io.Reader) error {
			_, _, err := c.Cache.Put(want, io.LimitReader(r, most+1))
			return err
		}); err != nil {
			return nil, err
		}
	}
	return c.Cache.Open(want)
}

// Read returns the content of a URL, which may have most bytes, and keeps it in
// the cache.
func (c *Client) Read(ctx context.Context, rawURL string, most int64) (data []byte, err error) {
	err = c.Get(ctx, rawURL, func(r io.Reader) error {
		if data, err = io.ReadAll(io.LimitReader(r, most+1)); err == nil && int64(len(data)) > most {
			err = fmt.Errorf("has more than %d bytes", most)
		}
		if err != nil {
			return err
		}
		_, _, err = c.Cache.Put(v1.Hash{}, bytes.NewReader(data))
		return err
	})
	return data, err
}
