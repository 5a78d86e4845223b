package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"spotkeeper/internal/tracing"
	"spotkeeper/internal/tracing/span"
)

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for _, s := range []tracing.Settings{{}, {Exporter: "none", Endpoint: "http://x"}, {Disabled: true, Endpoint: "http://x"}} {
		got, err := tracing.Open(t.Context(), s, "api")
		require.NoError(t, err)
		require.Nil(t, got)
	}
	_, err := tracing.Open(t.Context(), tracing.Settings{Exporter: "zipkin"}, "api")
	require.ErrorContains(t, err, "OTEL_TRACES_EXPORTER must be otlp or none")
	_, err = tracing.Open(t.Context(), tracing.Settings{Endpoint: "http://x", Protocol: "http/json"}, "api")
	require.ErrorContains(t, err, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or grpc")

	var off *tracing.Tracing
	require.Nil(t, off.Statements())
	require.NoError(t, off.Close(t.Context()))
}

const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestWhoseTraceIsContinued: an agent's notice, and no other request.
func TestWhoseTraceIsContinued(t *testing.T) {
	t.Parallel()
	for path, kept := range map[string]string{
		"/api/agents/a1/termination-imminent": "0af7651916cd43dd8448eb211c80319c",
		"/api/agents/a1/heartbeat":            "",
		"/health":                             "",
		"/console/":                           "",
	} {
		spans := tracetest.NewInMemoryExporter()
		tr, err := tracing.New(t.Context(), "api", sdk.NewSimpleSpanProcessor(spans))
		require.NoError(t, err)
		var in string
		h := tr.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			in = span.ID(r.Context())
			span.NameRequest(r.Context(), r.Method, "/route")
		}))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, http.NoBody)
		r.Header.Set("traceparent", caller)
		h.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, kept, in, path)
		if kept != "" {
			require.Equal(t, "POST /route", spans.GetSpans()[0].Name)
		}
	}
}

// TestATenantDoesNotDecideWhatIsKept: a caller's flag counts for notices alone, so of a
// thousand reads that ask to be kept about ten are, each in a trace of its own.
func TestATenantDoesNotDecideWhatIsKept(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	tr, err := tracing.New(t.Context(), "api", sdk.NewSimpleSpanProcessor(spans))
	require.NoError(t, err)
	h := tr.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 1000 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/fleet", http.NoBody)
		r.Header.Set("traceparent", caller)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.Less(t, len(spans.GetSpans()), 100)
	for _, s := range spans.GetSpans() {
		require.NotEqual(t, "0af7651916cd43dd8448eb211c80319c", s.SpanContext.TraceID().String())
		require.Len(t, s.Links, 1)
	}
}

// TestLogLinesNameTheirTrace, with further attributes and without.
func TestLogLinesNameTheirTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(tracing.Log(slog.NewJSONHandler(&out, nil))).With("process", "api")
	ctx := span.With(context.Background(), caller)
	log.InfoContext(ctx, "in a trace")
	require.Contains(t, out.String(), `"trace_id":"0af7651916cd43dd8448eb211c80319c"`)
	out.Reset()
	log.InfoContext(t.Context(), "in none")
	require.NotContains(t, out.String(), "trace_id")
	require.Equal(t, caller, span.Parent(ctx))
	require.Empty(t, span.Parent(t.Context()))
}
