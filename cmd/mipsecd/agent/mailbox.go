package agent

import "sync"

// mailbox is an unbounded queue with one reader. Role and shards write to each other's: with bounds they could wait for
// each other for ever. What comes from the network is bounded before it gets here.
type mailbox[T any] struct {
	mu    sync.Mutex
	items []T
	// wake has a token whenever there may be items.
	wake chan struct{}
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{wake: make(chan struct{}, 1)} }

func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	m.items = append(m.items, v)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox.
func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}

func (m *mailbox[T]) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.items)
}
