// Package span reads and names the span that a context belongs to. It is for packages that
// make none themselves.
package span

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// ID is the id of the trace that ctx is part of, or "" when there is none that is kept.
func ID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.IsSampled() && c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}

// NameRequest names the span of a request by its route, which is known later than it begins.
func NameRequest(ctx context.Context, method, route string) {
	s := trace.SpanFromContext(ctx)
	if s.IsRecording() {
		s.SetName(method + " " + route)
		s.SetAttributes(attribute.String("http.route", route))
	}
}

// parent is the header in which the W3C's trace context carries a span's ids.
const parent = "traceparent"

// Parent is the traceparent of ctx, for work that continues without its context; "" without a
// span.
func Parent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[parent]
}

// With is ctx as part of the trace of a traceparent; ctx itself when that is none.
func With(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{parent: traceparent})
}
