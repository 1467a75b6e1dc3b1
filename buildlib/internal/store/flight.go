package store

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/singleflight"
)

// Flights runs work once for all callers at the same time. The zero value is ready
// for use.
type Flights struct{ group singleflight.Group }

// Do runs work, or waits for the caller that runs it for the same key. If that one's
// context ends, another caller runs it.
func (f *Flights) Do(ctx context.Context, key string, work func() (any, error)) (any, error) {
	for {
		v, err, _ := f.group.Do(key, func() (any, error) {
			v, err := work()
			if err != nil && ctx.Err() != nil {
				err = &stopped{err}
			}
			return v, err
		})
		other, isStopped := errors.AsType[*stopped](err)
		switch {
		case !isStopped:
			return v, err
		case ctx.Err() != nil:
			return nil, other.err
		}
	}
}

// stopped is the error of work whose context has ended.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// Memo remembers the results of work by key, and runs work once for all callers. What
// failed is run again by the next. The zero value is ready for use.
type Memo[T any] struct {
	flights Flights
	known   sync.Map // key to T
}

// Do returns what work returned for the key before, or runs it as Flights do.
func (m *Memo[T]) Do(ctx context.Context, key string, work func() (T, error)) (T, error) {
	v, err := m.flights.Do(ctx, key, func() (any, error) {
		if v, ok := m.known.Load(key); ok {
			return v, nil
		}
		v, err := work()
		if err == nil {
			m.known.Store(key, v)
		}
		return v, err
	})
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}
