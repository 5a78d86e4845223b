package web

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"spotkeeper/internal/domain/fault"
)

// TooManyRequests means that a client asks more often than it may. Retry-After and the
// RateLimit headers say when it may again.
var TooManyRequests = fault.Define("limits.too_many_requests", fault.Limited)

// RequestClass is a group of routes whose requests are counted together, for each client.
type RequestClass string

// Classes of requests.
const (
	Reads     RequestClass = "reads"
	Writes    RequestClass = "writes"
	Reports   RequestClass = "reports"    // of agents
	SinkTests RequestClass = "sink-tests" // each sends something to elsewhere
)

// RequestRate is how many requests of a class a client may make: AtOnce after a pause,
// and PerSecond for long.
type RequestRate struct {
	PerSecond float64
	AtOnce    int
}

// DefaultRates are for one process of the api. Reports are those of ten thousand agents.
func DefaultRates() map[RequestClass]RequestRate {
	return map[RequestClass]RequestRate{
		Reads: {50, 500}, Writes: {10, 200}, Reports: {2000, 20_000}, SinkTests: {1.0 / 60, 10},
	}
}

// LaunchQuotas says whether a client may have more instances launched. It is the part of
// accounts.Quotas that requests use. CheckLaunch fails with limits.open_replicas and
// limits.launches.
type LaunchQuotas interface {
	CheckLaunch(ctx context.Context, clientID string) error
}

// Limits bounds what each client asks for. Operators are not limited, and neither is
// what has no time to wait.
type Limits struct {
	Rates  map[RequestClass]RequestRate
	Quotas LaunchQuotas // nil: none
	Now    func() time.Time

	mu      sync.Mutex
	buckets map[bucketKey]*rate.Limiter
}

type bucketKey struct {
	clientID string
	class    RequestClass
}

// mostBuckets bounds the table, which is emptied when it is full.
const mostBuckets = 50_000

// class is what the route's requests are counted as.
func (r Route) class() RequestClass {
	switch {
	case r.Counted != "":
		return r.Counted
	case r.Auth == Agent || r.Own:
		return Reports
	case r.Method == http.MethodGet:
		return Reads
	default:
		return Writes
	}
}

// check counts a request and refuses one too many. Fails with limits.too_many_requests
// and the codes of CheckLaunch.
func (l *Limits) check(c *gin.Context, r Route, p Principal) error {
	if l == nil || p.ClientID == "" || p.Operator || r.Urgent {
		return nil
	}
	class := r.class()
	allowed, limited := l.Rates[class]
	if limited {
		if err := l.count(c, bucketKey{p.ClientID, class}, allowed); err != nil {
			return err
		}
	}
	if r.Launches && l.Quotas != nil {
		return l.Quotas.CheckLaunch(c.Request.Context(), p.ClientID)
	}
	return nil
}

func (l *Limits) count(c *gin.Context, key bucketKey, allowed RequestRate) error {
	now := l.Now()
	l.mu.Lock()
	bucket, known := l.buckets[key]
	if !known {
		if l.buckets == nil || len(l.buckets) >= mostBuckets {
			l.buckets = map[bucketKey]*rate.Limiter{}
		}
		bucket = rate.NewLimiter(rate.Limit(allowed.PerSecond), allowed.AtOnce)
		l.buckets[key] = bucket
	}
	l.mu.Unlock()
	ok := bucket.AllowN(now, 1)
	left := max(bucket.TokensAt(now), 0)
	if key.class != Reports || !ok { // agents that report have no use for these
		announceRate(c, key.class, allowed, left)
	}
	if ok {
		return nil
	}
	wait := int(math.Ceil((1 - left) / allowed.PerSecond))
	return TooManyRequests.New(
		"This client makes more %s than it may: wait %d seconds. It may make %d at once, and %s each second after that.",
		key.class,
		wait,
		allowed.AtOnce,
		strconv.FormatFloat(allowed.PerSecond, 'g', 3, 64),
	).
		With("retry_after_seconds", wait)
}

// announceRate sets the headers of draft-ietf-httpapi-ratelimit-headers: the policy, and
// what is left of it.
func announceRate(c *gin.Context, class RequestClass, allowed RequestRate, left float64) {
	window := math.Ceil(float64(allowed.AtOnce) / allowed.PerSecond)
	c.Header("RateLimit-Policy", fmt.Sprintf(`"%s";q=%d;w=%.0f`, class, allowed.AtOnce, window))
	c.Header("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%.0f`, class, int(left),
		math.Ceil((float64(allowed.AtOnce)-left)/allowed.PerSecond)))
}
