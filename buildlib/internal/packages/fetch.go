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
// known digest. Hosts may speak plain HTTP: every byte is checked against a
// digest that was signed.
type Client struct {
	Cache store.Cache
	// Transport sends the requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Agent is what requests say they come from.
	Agent string
}

// Gone is the error of a URL that the server doesn't have.
type Gone struct{ URL string }

func (g *Gone) Error() string { return g.URL + ": the server doesn't have it (any more)" }

// tries is how often a server is asked that answers that it can't now.
const tries = 4

// Get calls read with what the URL holds, again from the start if the
// connection breaks.
func (c *Client) Get(ctx context.Context, at string, read func(io.Reader) error) error {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s: only http and https are fetched", at)
	}
	for try := 1; ; try++ {
		again, err := c.get(ctx, at, read)
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

func (c *Client) get(ctx context.Context, at string, read func(io.Reader) error) (again bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const patience = time.Minute
	stall := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no byte came for %v", patience)) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
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
		return false, &Gone{at}
	case res.StatusCode != http.StatusOK:
		return res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500, fmt.Errorf("%s: %s", at, res.Status)
	}
	body := &body{r: res.Body, alive: func() { stall.Reset(patience) }}
	if err := read(body); err != nil {
		if body.err != nil {
			return ctx.Err() == nil, fmt.Errorf("%s: %w", at, errors.Join(err, context.Cause(ctx)))
		}
		return false, fmt.Errorf("%s: %w", at, err)
	}
	return false, nil
}

// body remembers that reading failed, which is another thing than a reader
// that doesn't like what it read.
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

// Open returns the bytes that have that sha256, from the cache or else from
// the URL. Others are an error, and no more than most are read: whoever answers in the
// server's place could send bytes until the disk is full.
func (c *Client) Open(ctx context.Context, at, sha256 string, most int64) (io.ReadCloser, error) {
	want, err := v1.NewHash("sha256:" + sha256)
	if err != nil {
		return nil, fmt.Errorf("%s: sha256 %q: %w", at, sha256, err)
	}
	if _, err := c.Cache.Blob(want); err != nil {
		if err := c.Get(ctx, at, func(r io.Reader) error {
			_, _, err := c.Cache.Put(want, io.LimitReader(r, most+1))
			return err
		}); err != nil {
			return nil, err
		}
	}
	return c.Cache.Open(want)
}

// Read returns all bytes of a URL, of which nothing is known but that they are
// no more than most, and keeps them in the cache.
func (c *Client) Read(ctx context.Context, at string, most int64) (data []byte, err error) {
	err = c.Get(ctx, at, func(r io.Reader) error {
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
