package store

import (
	"context"
	"errors"

	"golang.org/x/sync/singleflight"
)

// Flights runs work once for all who want it at the same time. The zero value
// is ready.
type Flights struct{ group singleflight.Group }

// Do runs work, or waits for who runs it for the same key. If whoever ran it
// was stopped by its own context, those whose contexts are alive carry on.
func (f *Flights) Do(ctx context.Context, key string, work func() (any, error)) (any, error) {
	for {
		v, err, _ := f.group.Do(key, func() (any, error) {
			v, err := work()
			if err != nil && ctx.Err() != nil {
				err = &stopped{err}
			}
			return v, err
		})
		var other *stopped
		switch {
		case !errors.As(err, &other):
			return v, err
		case ctx.Err() != nil:
			return nil, other.err
		}
	}
}

// stopped is the error of work whose context has ended.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }
