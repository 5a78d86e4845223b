// Package tracing sends spans by OpenTelemetry. What the standard OTEL_* variables do not
// ask for is off, and then costs nothing.
package tracing

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Name is the instrumentation scope of spans that this program makes itself.
const Name = "spotkeeper"

// Settings are those OTEL_* variables that decide whether and how spans are sent. The
// exporters, the resource and the sampler read the others themselves.
type Settings struct {
	Disabled       bool   // OTEL_SDK_DISABLED
	Exporter       string // OTEL_TRACES_EXPORTER: otlp, none, or empty
	Endpoint       string // OTEL_EXPORTER_OTLP_ENDPOINT
	TracesEndpoint string // OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
	Protocol       string // OTEL_EXPORTER_OTLP_PROTOCOL
	TracesProtocol string // OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
	Sampler        string // OTEL_TRACES_SAMPLER
}

// On says whether spans are asked for.
func (s Settings) On() bool {
	switch {
	case s.Disabled || s.Exporter == "none":
		return false
	case s.Exporter != "":
		return true
	}
	return s.Endpoint != "" || s.TracesEndpoint != ""
}

// Tracing makes spans. A nil one makes none.
type Tracing struct{ provider *sdk.TracerProvider }

// Open begins to send spans of a process, such as api or worker; nil when they are off.
// The receiver need not be there: what it does not take is dropped.
func Open(ctx context.Context, s Settings, process string) (*Tracing, error) {
	if !s.On() {
		return nil, nil //nolint:nilnil // a nil Tracing is one that is off
	}
	if s.Exporter != "" && s.Exporter != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, not %q", s.Exporter)
	}
	exporter, err := newExporter(ctx, s)
	if err != nil {
		return nil, err
	}
	return newTracing(ctx, s, process, sdk.WithBatcher(exporter))
}

// New sends spans to a processor, as tests do.
func New(ctx context.Context, process string, p sdk.SpanProcessor) (*Tracing, error) {
	return newTracing(ctx, Settings{}, process, sdk.WithSpanProcessor(p))
}

func newExporter(ctx context.Context, s Settings) (sdk.SpanExporter, error) {
	protocol := s.TracesProtocol
	if protocol == "" {
		protocol = s.Protocol
	}
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or grpc, not %q", protocol)
}

func newTracing(ctx context.Context, s Settings, process string, o ...sdk.TracerProviderOption) (*Tracing, error) {
	r, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "spotkeeper-"+process),
		attribute.String("service.namespace", "spotkeeper")), resource.WithHost(), resource.WithProcessPID(),
		resource.WithTelemetrySDK(), resource.WithFromEnv()) // the last one wins
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	o = append(o, sdk.WithResource(r))
	if s.Sampler == "" {
		o = append(o, sdk.WithSampler(sdk.ParentBased(important{sdk.TraceIDRatioBased(elsewhere)})))
	}
	return &Tracing{sdk.NewTracerProvider(o...)}, nil
}

// Close sends what is left.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Propagator is how a trace crosses processes: the W3C's traceparent. Baggage is left
// out: tenants would fill it.
func Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// elsewhere is the share that is kept of traces without an interruption or a move.
const elsewhere = 0.01

// important keeps every trace that begins with an interruption or a move, and a share of
// all others.
type important struct{ others sdk.Sampler }

// beginnings are parts of the names of the first spans of important traces: routes, and the
// workflows and messages that begin a new trace when the route's one is lost.
var beginnings = []string{"/termination", "/rebalance-recommendation", "/create-emergency-replica", "/force-switch",
	"/promote", "Termination", "Switch", "Promotion", "termination-notice"}

// ShouldSample implements sdk.Sampler.
func (i important) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	for _, part := range beginnings {
		if strings.Contains(p.Name, part) {
			return sdk.AlwaysSample().ShouldSample(p)
		}
	}
	return i.others.ShouldSample(p)
}

// Description implements sdk.Sampler.
func (i important) Description() string { return "Important{" + i.others.Description() + "}" }
