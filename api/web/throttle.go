package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Throttle slows down those who guess tokens. It remembers addresses that failed
// and hashes that passed, both bounded: a full table is emptied, which only
// gives everybody a fresh start.
type Throttle struct {
	mu        sync.Mutex
	addresses map[string]*rate.Limiter
	good      map[string]struct{}
	now       func() time.Time
	atOnce    int        // what an address may fail in a burst
	recharge  rate.Limit // and per second afterwards
}

const gateSize = 20_000 // addresses, and hashes

// NewThrottle is for tokens, which broken agents send again and again.
func NewThrottle(now func() time.Time) *Throttle {
	return &Throttle{addresses: map[string]*rate.Limiter{}, good: map[string]struct{}{}, now: now, atOnce: 30, recharge: 0.5}
}

// NewLoginGate is for people, who type a token wrong now and then.
func NewLoginGate(now func() time.Time) *Throttle {
	g := NewThrottle(now)
	g.atOnce, g.recharge = 10, 0.1
	return g
}

// IsClosed says whether the address has used up its failures and the token gives
// no reason to look all the same.
func (g *Throttle) IsClosed(address string, hash []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, known := g.addresses[address]
	if !known || l.TokensAt(g.now()) >= 1 {
		return false
	}
	_, good := g.good[string(hash)]
	return !good
}

// RecordFailure counts a refused token of an address.
func (g *Throttle) RecordFailure(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, known := g.addresses[address]
	if !known {
		if len(g.addresses) >= gateSize {
			clear(g.addresses)
		}
		l = rate.NewLimiter(g.recharge, g.atOnce)
		g.addresses[address] = l
	}
	l.AllowN(g.now(), 1)
}

func (g *Throttle) recordSuccess(hash []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.good) >= gateSize {
		clear(g.good)
	}
	g.good[string(hash)] = struct{}{}
}
