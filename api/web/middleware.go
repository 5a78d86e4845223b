package web

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/tracing/span"
)

// Keys of what a request carries beside its context.
const (
	loggerKey  = "spotkeeper.logger"
	CodeKey    = "spotkeeper.code"
	quietKey   = "spotkeeper.quiet"
	recheckKey = "spotkeeper.recheck"
	surfaceKey = "spotkeeper.surface"
	cleansKey  = "spotkeeper.cleans"
	requestKey = "X-Request-Id"
)

type loggerCtx struct{}

// LoggerFrom returns the request's logger, for code that sees only its context.
func LoggerFrom(ctx context.Context) *slog.Logger {
	if l, ok := ctx.Value(loggerCtx{}).(*slog.Logger); ok {
		return l
	}
	return slog.Default()
}

// LoggerOf returns the logger of a request, which names the request and its caller.
func LoggerOf(c *gin.Context) *slog.Logger {
	if l, ok := c.Value(loggerKey).(*slog.Logger); ok {
		return l
	}
	return slog.Default()
}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Identify gives the request an id, the caller's own if it is one, and a logger
// that carries it.
func Identify(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		id := c.GetHeader(requestKey)
		if !requestID.MatchString(id) {
			id = uuid.NewString()
		}
		c.Header(requestKey, id)
		l := log.With("request_id", id)
		if agent := c.Param("agent_id"); agent != "" && len(agent) <= maxParam {
			l = l.With("agent_id", agent)
		}
		c.Set(loggerKey, l)
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), loggerCtx{}, l))
		c.Next()
	}
}

// RecordRequests writes the access log and the metrics of a finished request.
func RecordRequests(m *Metrics) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		method := knownMethod(c.Request.Method)
		span.NameRequest(c.Request.Context(), method, cmp.Or(c.FullPath(), "none"))
		c.Next()
		route, status, took := c.FullPath(), c.Writer.Status(), time.Since(start)
		if route == "" {
			route = "none"
		}
		m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
		m.seconds.WithLabelValues(method, route).Observe(took.Seconds())
		level := slog.LevelInfo
		switch {
		case status >= 500:
			level = slog.LevelError
		case status < 400 && c.GetBool(quietKey):
			level = slog.LevelDebug
		}
		ctx := c.Request.Context()
		log := LoggerOf(c)
		if !log.Enabled(ctx, level) {
			return
		}
		attrs := []slog.Attr{
			slog.String("method", method), slog.String("route", route), slog.Int("status", status),
			slog.Duration("took", took), slog.String("address", c.ClientIP()),
		}
		if p := PrincipalFrom(ctx); p.ClientID != "" {
			attrs = append(attrs, slog.String("client_id", p.ClientID))
		} else if p.Operator {
			attrs = append(attrs, slog.String("operator", p.Name), slog.String("role", string(p.Role)))
		}
		if code := c.GetString(CodeKey); code != "" {
			attrs = append(attrs, slog.String("code", code))
		}
		log.LogAttrs(ctx, level, "request", attrs...)
	}
}

// knownMethod is the method of a request as metrics, traces and logs name it. A caller may
// invent methods without end, and each would be a series of its own.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// Recovery turns a panic into a 500 and keeps the process.
func Recovery(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // the sentinel is compared by the standard library likewise
			panic(p)
		}
		LoggerOf(c).ErrorContext(c.Request.Context(), "handler panicked", "panic", fmt.Sprint(p),
			"stack", string(debug.Stack()))
		if !c.Writer.Written() {
			WriteError(c, fmt.Errorf("panic: %v", p))
		}
	}()
	c.Next()
}

// AllowOrigins answers browsers of the configured origins, on errors as well. Guests are
// further origins by the path that they may call, with the session of who uses the page.
func AllowOrigins(origins []string, guests map[string][]string) gin.HandlerFunc {
	return func(c *gin.Context) {
		origin := c.GetHeader("Origin")
		guest := slices.Contains(guests[c.Request.URL.Path], origin)
		if guest {
			c.Header("Access-Control-Allow-Credentials", "true")
		}
		if origin != "" && (guest || slices.Contains(origins, origin)) {
			c.Header("Access-Control-Allow-Origin", origin)
			c.Writer.Header().Add("Vary", "Origin")
			c.Header("Access-Control-Expose-Headers", nextHeader+", "+linkHeader)
			if c.Request.Method == http.MethodOptions {
				c.Header("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
				if wanted := c.GetHeader("Access-Control-Request-Headers"); wanted != "" {
					c.Header("Access-Control-Allow-Headers", wanted)
				}
				c.Header("Access-Control-Max-Age", "600")
			}
		}
		if c.Request.Method == http.MethodOptions {
			c.Abort()
			c.Data(http.StatusOK, "application/json", []byte(`""`+"\n")) // every answer is JSON
			return
		}
		c.Next()
	}
}

// Serve runs a route: it sets the deadline, finds the principal, binds the body, calls the
// endpoint and writes the answer.
func (r Route) Serve(a *Authenticator) gin.HandlerFunc {
	var shared *readings
	if r.IsShared() {
		shared = &readings{}
	}
	return func(c *gin.Context) {
		c.Set(quietKey, r.Quiet || shared != nil) // pages read all day long, too
		c.Set(cleansKey, r.IsOfAgents())
		ctx := c.Request.Context()
		if r.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, r.Timeout)
			defer cancel()
			c.Request = c.Request.WithContext(ctx)
		}
		if err := checkAddress(c); err != nil {
			WriteError(c, err)
			return
		}
		p, body, err := r.receive(c, a)
		if err != nil {
			a.recordRefusal(c, r, p, body, err)
			WriteError(c, err)
			return
		}
		c.Request = c.Request.WithContext(withCaller(ctx, c, p))
		if err = r.checkStrict(c, p, body); err == nil {
			err = a.checkClient(c, r, p)
		}
		if err != nil {
			WriteError(c, err)
			return
		}
		if r.Endpoint.raw != nil {
			c.Set(recheckKey, func() error {
				_, err := a.authenticate(c, r, nil)
				return err
			})
			c.Set(surfaceKey, a.Routes)
			r.Endpoint.raw(c)
			return
		}
		if shared != nil {
			err = r.serveShared(c, shared)
		} else {
			err = r.serveAlone(c, a, p, body)
		}
		if err != nil {
			WriteError(c, err)
		}
	}
}

// maxParam is the length in bytes of a part of a path, which is more than any id has.
const maxParam = 512

// checkAddress refuses a path and a query with what Postgres cannot hold, and a path with a
// part that is too long to be an id, before anything is looked up by them and anything of them
// is kept. Fails with request.invalid.
func checkAddress(c *gin.Context) error {
	p := &problems{}
	for _, param := range c.Params {
		if len(param.Value) > maxParam {
			p.add(param.Key, fmt.Sprintf("Longer than maximum length %d.", maxParam))
		}
		p.checkStorable(param.Key, param.Value)
	}
	query := c.Request.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			p.checkStorable(name, value)
		}
	}
	if len(p.order) == 0 {
		return nil
	}
	return InvalidRequest.New("Validation failed: %s: %s", p.order[0], p.byField[p.order[0]][0]).With("details", p.byField)
}

// checkStorable adds what Postgres cannot hold as a text, and says whether it can hold this one.
func (p *problems) checkStorable(field, text string) bool {
	switch {
	case strings.IndexByte(text, 0) >= 0:
		p.add(field, errNUL.Error())
	case !utf8.ValidString(text):
		p.add(field, errNotString.Error())
	default:
		return true
	}
	return false
}

// serveAlone answers one request, and leaves an audit entry when it was a change.
func (r Route) serveAlone(c *gin.Context, a *Authenticator, p Principal, body []byte) error {
	audited, err := a.beginAudit(c, r)
	if err == nil && audited != nil {
		err = audited.recordIntent(c, p, body)
	}
	if err != nil {
		return err
	}
	out, err := r.Endpoint.call(c, body)
	audited.record(c, p, body, err)
	if err != nil {
		a.recordRefusal(c, r, p, body, err)
		return err
	}
	WriteJSON(c, r.statusOf(out), out)
	return nil
}

func (r Route) statusOf(out any) int {
	if s, ok := out.(Statused); ok {
		return s.Status()
	}
	return r.Status
}

// Metrics are the collectors of the HTTP surface.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

// NewMetrics registers the collectors.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotkeeper_http_requests_total", Help: "Answered requests.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "spotkeeper_http_request_seconds", Help: "Time from the first byte read to the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 20, 30},
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spotkeeper_http_requests_in_flight", Help: "Requests that are being answered.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.inFlight)
	return m
}
