package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"spotkeeper/internal/door"
)

// Throttle limits failed authentications, by address and in total. Successful ones are
// never limited. It is bounded: a full table
// is emptied, and the limit of the total remains.
type Throttle struct {
	mu        sync.Mutex
	addresses map[string]*rate.Limiter // by door.AddressKey
	total     *rate.Limiter
	now       func() time.Time
	atOnce    int        // what an address may fail in a burst
	recharge  rate.Limit // and per second afterwards
}

const throttledAddresses = 20_000

// NewThrottle is for tokens, which broken agents send again and again.
func NewThrottle(now func() time.Time) *Throttle {
	return &Throttle{
		addresses: map[string]*rate.Limiter{},
		total:     rate.NewLimiter(20, 400),
		now:       now,
		atOnce:    30,
		recharge:  0.5,
	}
}

// NewLoginGate is for people, who type a token wrong now and then.
func NewLoginGate(now func() time.Time) *Throttle {
	g := NewThrottle(now)
	g.atOnce, g.recharge, g.total = 10, 0.1, rate.NewLimiter(5, 100)
	return g
}

// Fail counts a failed attempt from an address. The result is false when it is one too
// many, of the address or of all.
func (g *Throttle) Fail(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, now := door.AddressKey(address), g.now()
	l, known := g.addresses[key]
	if !known {
		if len(g.addresses) >= throttledAddresses {
			clear(g.addresses)
		}
		l = rate.NewLimiter(g.recharge, g.atOnce)
		g.addresses[key] = l
	}
	return l.AllowN(now, 1) && g.total.AllowN(now, 1)
}
