package door

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"sync"
)

// body says when it has been received.
type body struct {
	io.ReadCloser

	received func()
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && b.received != nil {
		b.received()
		b.received = nil
	}
	return n, err
}

// Caller is the sender of a body, as far as it is known while the body is read.
type Caller struct {
	Name    string // of the one that the header has authenticated; empty: it is not known
	Address string // the client's, behind trusted proxies
}

// chunk is how much of a body is read before more of the budget is asked for.
const chunk = 4 << 10

// ReadBody reads the body of a request, at most limit bytes. What it has read counts
// against the budget of the caller's kind until the request has been answered. Fails
// with *http.MaxBytesError when the body is larger, with request.server_busy when the
// budget is used up, with request.too_slow when the body did not arrive in time, and
// otherwise with what went wrong with the connection.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, from Caller) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	take := takeFor(r.Context(), from)
	in := http.MaxBytesReader(w, r.Body, limit)
	out := make([]byte, 0, min(max(r.ContentLength+1, 512), chunk))
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := in.Read(out[len(out):min(cap(out), len(out)+chunk)])
		out = out[:len(out)+n]
		if !take(int64(n)) {
			return nil, Busy.New("The server is receiving as much as it can hold: try again in some seconds.")
		}
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, TooSlow.Wrap(err, "The body did not arrive in time.")
		case err != nil:
			return nil, err
		}
	}
}

// takeFor returns the function that counts bytes against the budget of a caller. What was
// taken is given back when the request has been answered.
func takeFor(ctx context.Context, from Caller) func(n int64) bool {
	held, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return func(int64) bool { return true } // a handler without a door before it
	}
	spent, key, taken := held.door.unknown, AddressKey(from.Address), int64(0)
	if from.Name != "" {
		spent, key = held.door.known, from.Name
	}
	held.held = append(held.held, func() { spent.give(key, taken) })
	return func(n int64) bool {
		if !spent.take(key, n) {
			return false
		}
		taken += n
		return true
	}
}

// budget is a number of bytes that requests share, of which each caller has a part at most.
type budget struct {
	most, mostPerCaller int64

	mu       sync.Mutex
	total    int64
	byCaller map[string]int64
}

func newBudget(most, mostPerCaller int64) *budget {
	return &budget{most: most, mostPerCaller: mostPerCaller, byCaller: map[string]int64{}}
}

func (b *budget) take(caller string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.total+n > b.most || b.byCaller[caller]+n > b.mostPerCaller {
		return false
	}
	b.total += n
	b.byCaller[caller] += n
	return true
}

func (b *budget) give(caller string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total -= n
	if b.byCaller[caller] -= n; b.byCaller[caller] <= 0 {
		delete(b.byCaller, caller)
	}
}

func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// AddressKey is what limits count by: an IPv4 address, or the /64 of an IPv6 one,
// because one machine has all of a /64. What is no address is its own key.
func AddressKey(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
