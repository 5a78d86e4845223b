// Package door is how HTTP requests enter a process. It bounds what a caller can hold
// before the caller is known: connections, header and body bytes, and time. It depends
// on no route and no token: a handler says that a caller is known.
package door

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/domain/fault"
)

// Ways to be refused while a request is being received.
var (
	Busy    = fault.Define("request.server_busy", fault.Unavailable)
	TooSlow = fault.Define("request.too_slow", fault.Invalid)
)

// Limits bound what callers hold at once. A zero field takes its default.
type Limits struct {
	Conns       int           // open connections; 8192
	PerCaller   int           // of them that one known caller keeps when room is made; an eighth of Conns
	PerOwner    int           // of them that all callers of one owner keep then; half of Conns
	HeaderBytes int           // of one request; 32 KiB
	HeaderTime  time.Duration // to receive a header; 10 s
	BodyTime    time.Duration // to receive a body; 15 s. A handler may extend it for its own request
	WriteTime   time.Duration // from the header to the end of the answer; 60 s. Streams extend it
	IdleTime    time.Duration // between two requests; 3 min, because deployed agents do not repeat a request that met a close

	KnownBytes        int64 // of the bodies of known callers, in flight; 128 MiB
	KnownPerCaller    int64 // of those, from one caller; a quarter
	UnknownBytes      int64 // of the bodies of all other callers, in flight; 16 MiB
	UnknownPerAddress int64 // of those, from one address; 2 MiB
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Conns, 8192)
	orDefault(&l.PerCaller, max(l.Conns/8, 1))
	orDefault(&l.PerOwner, max(l.Conns/2, l.PerCaller))
	orDefault(&l.HeaderBytes, 32<<10)
	orDefault(&l.HeaderTime, 10*time.Second)
	orDefault(&l.BodyTime, 15*time.Second)
	orDefault(&l.WriteTime, time.Minute)
	orDefault(&l.IdleTime, 3*time.Minute)
	orDefault(&l.KnownBytes, 128<<20)
	orDefault(&l.KnownPerCaller, l.KnownBytes/4)
	orDefault(&l.UnknownBytes, 16<<20)
	orDefault(&l.UnknownPerAddress, 2<<20)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Door applies limits to one listener.
type Door struct {
	limits  Limits
	conns   *conns
	known   *budget
	unknown *budget
}

// New makes a door. Its metrics are registered with reg, unless reg is nil.
func New(limits Limits, reg prometheus.Registerer) *Door {
	limits = limits.withDefaults()
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "spotkeeper_http_connections_refused_total",
		Help: "Connections that were closed because too many were open: the one that waited longest for its client, or the new one.",
	}, []string{"which"})
	d := &Door{
		limits:  limits,
		conns:   newConns(limits, refused),
		known:   newBudget(limits.KnownBytes, limits.KnownPerCaller),
		unknown: newBudget(limits.UnknownBytes, limits.UnknownPerAddress),
	}
	if reg != nil {
		reg.MustRegister(refused,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "spotkeeper_http_connections",
				Help: "Open connections.",
			},
				func() float64 { return float64(d.conns.count()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "spotkeeper_http_body_bytes",
				Help: "Bytes of request bodies that are held.",
			},
				func() float64 { return float64(d.known.held() + d.unknown.held()) }))
	}
	return d
}

// Listen bounds the connections of a listener.
func (d *Door) Listen(ln net.Listener) net.Listener { return &listener{Listener: ln, conns: d.conns} }

// Server makes the server that answers on d.Listen's listener with h.
func (d *Door) Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           d.receive(h),
		MaxHeaderBytes:    d.limits.HeaderBytes - netHTTPSlack,
		ReadHeaderTimeout: d.limits.HeaderTime,
		WriteTimeout:      d.limits.WriteTime,
		IdleTimeout:       d.limits.IdleTime,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState:         d.conns.changed,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(c))
		},
	}
}

// netHTTPSlack is what net/http reads beyond MaxHeaderBytes.
const netHTTPSlack = 4 << 10

type (
	connKey    struct{}
	requestKey struct{}
)

// request is what one request holds until it is answered.
type request struct {
	door *Door
	conn *conn // nil in tests without a listener
	held []func()
}

// receive gives the body of each request its deadline, and takes back what the request
// held when it has been answered.
func (d *Door) receive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*conn)
		held := &request{door: d, conn: c}
		defer held.release()
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, held))
		if r.Body == nil || r.Body == http.NoBody {
			d.conns.served(c)
		} else {
			ctl := http.NewResponseController(w)
			_ = ctl.SetReadDeadline(time.Now().Add(d.limits.BodyTime)) // a recorder in a test has none
			r.Body = &body{ReadCloser: r.Body, received: func() {
				_ = ctl.SetReadDeadline(time.Time{})
				d.conns.served(c)
			}}
		}
		next.ServeHTTP(w, r)
	})
}

func (r *request) release() {
	for _, give := range r.held {
		give()
	}
}

// Admit says that the caller of a request is known, and by which names its connections are
// counted: its own, and its owner's, who may make callers without end. Its connection is then
// not closed to make room for another one, although its body may still arrive or its answer be
// read slowly.
func Admit(ctx context.Context, caller, owner string) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		r.door.conns.admit(r.conn, caller, owner)
	}
}
