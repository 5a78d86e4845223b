package tracing

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	temporal "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"spotkeeper/internal/tracing/span"
)

// quiet are the ends of paths whose requests make no spans: they are many and alike.
var quiet = []string{"/heartbeat", "/pending-commands", "/pricing-report", "/config", "/replica-config", "/events",
	"/health", "/ready"}

// notices are the ends of paths whose caller's trace is continued. Any other caller's is
// linked: a tenant is not to decide what is kept.
var notices = []string{"/termination-imminent", "/rebalance-recommendation", "/create-emergency-replica", "/termination"}

func endsWith(path string, ends []string) bool {
	for _, end := range ends {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// Handler makes a span of each request. The route, which is known later, becomes its name
// by NameRequest.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewHandler(next, "request",
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithMeterProvider(metric.NewMeterProvider()),
		otelhttp.WithPropagators(Propagator()),
		otelhttp.WithPublicEndpointFn(func(r *http.Request) bool { return !endsWith(r.URL.Path, notices) }),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/api/") && !endsWith(r.URL.Path, quiet)
		}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + shape(r.URL.Path) }))
}

// shape is a path without the ids in it, for the sampler, which decides before the route
// is known. Parts with a digit are ids.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.ContainsAny(p, "0123456789") {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// Statements makes a span of each statement of a trace. Parameters are not in it: tokens
// and user data are among them.
func (t *Tracing) Statements() pgx.QueryTracer {
	if t == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider),
		otelpgx.WithMeterProvider(metric.NewMeterProvider()), otelpgx.WithDisableSQLStatementInAttributes())
}

// Temporal carries traces through workflows and activities, by headers; queries are left
// out. It adds no command to a workflow, so histories replay with it and without.
func (t *Tracing) Temporal() (interceptor.ClientInterceptor, error) {
	return temporal.NewTracingInterceptor(temporal.TracerOptions{
		Tracer:                  t.provider.Tracer(Name),
		TextMapPropagator:       Propagator(),
		DisableQueryTracing:     true,
		DisableBaggage:          true,
		AllowInvalidParentSpans: true,
	})
}

// AWS makes a span of each call to AWS that belongs to a trace. The SDK's contributed
// instrumentation is no longer kept, and brings the clients of services that are not used.
func (t *Tracing) AWS() func(*middleware.Stack) error {
	tracer := t.provider.Tracer(Name)
	return func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("Tracing", func(ctx context.Context,
			in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if !trace.SpanFromContext(ctx).IsRecording() {
				return next.HandleInitialize(ctx, in)
			}
			service, method := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
			ctx, call := tracer.Start(ctx, service+"."+method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
				attribute.String("rpc.system", "aws-api"), attribute.String("rpc.service", service),
				attribute.String("rpc.method", method), attribute.String("cloud.region", awsmiddleware.GetRegion(ctx))))
			defer call.End()
			out, meta, err := next.HandleInitialize(ctx, in)
			if id, ok := awsmiddleware.GetRequestIDMetadata(meta); ok {
				call.SetAttributes(attribute.String("aws.request_id", id))
			}
			if err != nil {
				call.RecordError(err)
				call.SetStatus(codes.Error, err.Error())
			}
			return out, meta, err
		}), middleware.After)
	}
}

// Log adds the trace's id to lines that belong to a trace.
func Log(h slog.Handler) slog.Handler { return logHandler{h} }

type logHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (l logHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := span.ID(ctx); id != "" {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l logHandler) WithGroup(name string) slog.Handler { return logHandler{l.Handler.WithGroup(name)} }
