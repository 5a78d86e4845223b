package rest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// throttle slows down those who guess tokens. It remembers addresses that failed
// and hashes that passed, both bounded: a full table is emptied, which only
// gives everybody a fresh start.
type throttle struct {
	mu        sync.Mutex
	addresses map[string]*rate.Limiter
	good      map[string]struct{}
	now       func() time.Time
	atOnce    int        // what an address may fail in a burst
	recharge  rate.Limit // and per second afterwards
}

const gateSize = 20_000 // addresses, and hashes

// newThrottle is for tokens, which broken agents send again and again.
func newThrottle(now func() time.Time) *throttle {
	return &throttle{addresses: map[string]*rate.Limiter{}, good: map[string]struct{}{}, now: now, atOnce: 30, recharge: 0.5}
}

// newLoginGate is for people, who type a token wrong now and then.
func newLoginGate(now func() time.Time) *throttle {
	g := newThrottle(now)
	g.atOnce, g.recharge = 10, 0.1
	return g
}

// isClosed says whether the address has used up its failures and the token gives
// no reason to look all the same.
func (g *throttle) isClosed(address string, hash []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, known := g.addresses[address]
	if !known || l.TokensAt(g.now()) >= 1 {
		return false
	}
	_, good := g.good[string(hash)]
	return !good
}

func (g *throttle) recordFailure(address string) {
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

func (g *throttle) recordSuccess(hash []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.good) >= gateSize {
		clear(g.good)
	}
	g.good[string(hash)] = struct{}{}
}
