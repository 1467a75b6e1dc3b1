package registry

import (
	"context"
	"sync"
)

// slots limits what runs at once, over all registries. One slot is reserved for each
// registry that has work and holds none, so that a registry that hangs can't hold
// them all. With fewer slots than registries it can, until its requests stall.
type slots struct {
	mu      sync.Mutex
	free    int
	work    map[string]int // by registry, how often announce was called
	held    map[string]int // by registry
	changed chan struct{}  // closed when those that wait should check again
}

func newSlots(n int) *slots {
	return &slots{free: n, work: map[string]int{}, held: map[string]int{}, changed: make(chan struct{})}
}

// announce announces work for a registry, until done is called.
func (s *slots) announce(registry string) (done func()) {
	s.change(s.work, registry, 1)
	return func() { s.change(s.work, registry, -1) }
}

// acquire waits for a slot.
func (s *slots) acquire(ctx context.Context, registry string) error {
	for {
		s.mu.Lock()
		changed := s.changed
		if s.open(registry) {
			s.free--
			s.held[registry]++
			changed = nil
		}
		s.mu.Unlock()
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// open reports whether the registry may have a slot. mu is held.
func (s *slots) open(registry string) bool {
	if s.held[registry] == 0 {
		return s.free > 0
	}
	reserved := 0
	for other := range s.work {
		if s.held[other] == 0 {
			reserved++
		}
	}
	return s.free > reserved
}

func (s *slots) release(registry string) {
	s.mu.Lock()
	s.free++
	s.mu.Unlock()
	s.change(s.held, registry, -1)
}

// change adds n to a count, and wakes all that wait.
func (s *slots) change(count map[string]int, registry string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if count[registry] += n; count[registry] == 0 {
		delete(count, registry)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// turns is a set of mutexes, by key, whose wait ends with a context. Its zero value
// is ready for use.
type turns struct {
	mu    sync.Mutex
	byKey map[string]chan struct{}
}

// take locks the mutex of the key; done unlocks it.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	turn, ok := t.byKey[key]
	if !ok {
		if t.byKey == nil {
			t.byKey = map[string]chan struct{}{}
		}
		turn = make(chan struct{}, 1)
		t.byKey[key] = turn
	}
	t.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
