package operations

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"spotkeeper/deploy/dev/devtest"
)

// receiver is an OpenTelemetry receiver that keeps the spans of one trace in memory.
type receiver struct {
	mu    sync.Mutex
	trace string
	spans []*kept
}

type kept struct {
	*trace.Span
	process string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range request.GetResourceSpans() {
		process := ""
		for _, a := range of.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				process = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				if hex.EncodeToString(s.GetTraceId()) == r.trace {
					r.spans = append(r.spans, &kept{s, process})
				}
			}
		}
	}
}

// chain is the way from the first span with a name to the root, root first.
func (r *receiver) chain(name string) []*kept {
	r.mu.Lock()
	defer r.mu.Unlock()
	byID := map[string]*kept{}
	for _, s := range r.spans {
		byID[string(s.GetSpanId())] = s
	}
	for _, s := range r.spans {
		if s.GetName() != name {
			continue
		}
		way := []*kept{s}
		for up := byID[string(s.GetParentSpanId())]; up != nil; up = byID[string(up.GetParentSpanId())] {
			way = append(way, up)
		}
		slices.Reverse(way)
		return way
	}
	return nil
}

// TestAFailoverIsOneTrace: from the agent's POST through api, Guardian, Replica and its
// activity to RunInstances at EC2, over two processes and Temporal.
func TestAFailoverIsOneTrace(t *testing.T) {
	t.Parallel()
	const id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	spans := &receiver{trace: id}
	server := httptest.NewServer(spans)
	t.Cleanup(server.Close)
	k := newKeeperOf(t, devtest.Options{Environment: map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_BSP_SCHEDULE_DELAY": "200",
	}})
	agent, instance := k.agent("traced")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, k.API+"/api/agents/"+agent+"/termination-imminent",
		strings.NewReader(fmt.Sprintf(`{"instance_id":%q}`, instance)))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+k.token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("traceparent", "00-"+id+"-"+parent+"-01")
	client := &http.Client{Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	answer, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Less(t, answer.StatusCode, 300)

	var way []*kept
	require.Eventually(t, func() bool {
		way = spans.chain("EC2.RunInstances")
		return len(way) > 0 && hex.EncodeToString(way[0].GetParentSpanId()) == parent
	}, patience, 200*time.Millisecond)
	var names, lines []string
	begin := way[0].GetStartTimeUnixNano()
	for i, s := range way {
		names = append(names, s.GetName())
		lines = append(lines, fmt.Sprintf("%8.1f ms  %-18s %s%s (%.1f ms)", float64(s.GetStartTimeUnixNano()-begin)/1e6, s.process,
			strings.Repeat("  ", i), s.GetName(), float64(s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano())/1e6))
	}
	t.Logf("one failover, trace %s:\n%s", id, strings.Join(lines, "\n"))
	require.Equal(t, "POST /api/agents/:agent_id/termination-imminent", names[0])
	all := strings.Join(names, "\n")
	for _, step := range []string{"Guardian", "Replica", "LaunchInstance"} {
		require.Contains(t, all, step)
	}

	var traced string
	require.NoError(t, k.pool.QueryRow(ctx, `SELECT trace_id FROM operations WHERE kind = 'termination'`).Scan(&traced))
	require.Equal(t, id, traced, "the operation names its trace")
}
