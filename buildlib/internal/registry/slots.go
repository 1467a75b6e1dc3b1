package registry

import (
	"context"
	"sync"
)

// slots bounds what goes on at once over all registries. It keeps one back for
// each registry that work is for and that has none, so that one that hangs
// doesn't hold all while another could go on. With fewer slots than registries
// it can: until the requests that hang have stalled.
type slots struct {
	mu      sync.Mutex
	free    int
	work    map[string]int // what begin counts, by registry
	held    map[string]int // by registry
	changed chan struct{}  // closed when those who wait are to look again
}

func newSlots(n int) *slots {
	return &slots{
		free: n, work: map[string]int{}, held: map[string]int{}, changed: make(chan struct{}),
	}
}

// begin says that there is work for a registry, until end is called.
func (s *slots) begin(registry string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(s.work, registry, 1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.add(s.work, registry, -1)
	}
}

// acquire waits for a slot.
func (s *slots) acquire(ctx context.Context, registry string) error {
	for {
		s.mu.Lock()
		if s.open(registry) {
			s.free--
			s.held[registry]++
			s.mu.Unlock()
			return nil
		}
		changed := s.changed
		s.mu.Unlock()
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
	kept := 0
	for other := range s.work {
		if s.held[other] == 0 {
			kept++
		}
	}
	return s.free > kept
}

func (s *slots) release(registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	s.add(s.held, registry, -1)
}

// add changes a count, and lets all who wait look again. mu is held.
func (s *slots) add(to map[string]int, registry string, n int) {
	if to[registry] += n; to[registry] == 0 {
		delete(to, registry)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
