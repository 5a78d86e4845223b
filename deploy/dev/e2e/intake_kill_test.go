package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
)

// Steps at which a queueProxy keeps a worker waiting.
const (
	stepReceived = "received, no row"     // SQS has given the message out, and its answer is kept back
	stepDurable  = "row, not deleted"     // the worker asks for the deletion, and SQS does not get to know
	stepDeleted  = "deleted, not carried" // SQS has deleted the message, and its answer is kept back
)

// queueProxy stands between a worker and its queue. Armed with a step, it keeps the next
// worker that gets there waiting. What is received comes again after two seconds.
type queueProxy struct {
	*httptest.Server

	mu      sync.Mutex
	target  *url.URL
	step    string
	reached chan struct{} // closed when a worker waits at the step
	over    chan struct{} // closed at the end of the test
}

func newQueueProxy(t *testing.T) *queueProxy {
	t.Helper()
	p := &queueProxy{over: make(chan struct{})}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(p.target)
		},
		ModifyResponse: p.answered,
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.addressed() {
			p.asked(r)
			forward.ServeHTTP(w, r)
			return
		}
		http.Error(w, "not yet", http.StatusServiceUnavailable)
	}))
	t.Cleanup(func() {
		close(p.over)
		p.Close()
	})
	return p
}

func (p *queueProxy) addressed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target != nil
}

func (p *queueProxy) forwardTo(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u
}

// arm has the next worker wait at a step.
func (p *queueProxy) arm(step string) (reached <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.reached = step, make(chan struct{})
	return p.reached
}

// asked sees what a worker asks of the queue, before the queue does.
func (p *queueProxy) asked(r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action == "ReceiveMessage" {
		var in map[string]any
		if json.Unmarshal(raw, &in) == nil {
			in["VisibilityTimeout"], in["WaitTimeSeconds"] = 2, 1
			raw, _ = json.Marshal(in)
		}
	} else if action == "DeleteMessageBatch" {
		p.keepWaiting(r.Context(), stepDurable)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
}

// answered sees what the queue answers, before the worker does.
func (p *queueProxy) answered(r *http.Response) error {
	_, action, _ := strings.Cut(r.Request.Header.Get("X-Amz-Target"), ".")
	switch action {
	case "ReceiveMessage":
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if bytes.Contains(raw, []byte("Interruption Warning")) {
			p.keepWaiting(r.Request.Context(), stepReceived)
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
	case "DeleteMessageBatch":
		p.keepWaiting(r.Request.Context(), stepDeleted)
	}
	return nil
}

// keepWaiting returns when the worker has died, if it is armed with the step.
func (p *queueProxy) keepWaiting(ctx context.Context, step string) {
	p.mu.Lock()
	armed := p.step == step
	if armed {
		p.step = ""
		close(p.reached)
	}
	p.mu.Unlock()
	if !armed {
		return
	}
	select {
	case <-ctx.Done():
	case <-p.over:
	}
}

// TestKilledIntake kills the worker with kill -9 between each two steps of an event: the
// row, the deletion, the workflow that carries it on. Nothing is lost and nothing is done
// twice.
func TestKilledIntake(t *testing.T) {
	t.Parallel()
	p := newQueueProxy(t)
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{
		"EVENTS_QUEUE_URL":     p.URL + "/" + client.DefaultAccount + "/" + ec2sim.EventQueue,
		"AWS_ENDPOINT_URL_SQS": p.URL,
		"EVENTS_SURVEY":        "0s",     // the third door would do it too
		"EVENTS_ACT_ON":        "notice", // and so would the end of the instance
	}})
	f := newFleet(t, s, newTenant(t, s))
	b := openBooks(t, s)
	p.forwardTo(t, s.EC2)
	ctx := deadline(t, 4*time.Minute)

	for step, rows := range map[string]int{stepReceived: 0, stepDurable: 1, stepDeleted: 1} {
		m, at := mustJoin(t, f, step)
		require.NoError(t, m.reportPrices(ctx, at))
		require.NoError(t, m.emergency(ctx, "rebalance-recommendation", at))
		_, _, err := m.awaitReady(ctx)
		require.NoError(t, err)
		notices := func() (n int) {
			require.NoError(t, b.pool.QueryRow(ctx,
				`SELECT count(*) FROM notices WHERE agent_id = $1 AND kind = 'termination-notice'`, m.id).Scan(&n))
			return n
		}

		reached := p.arm(step)
		require.NoError(t, f.sim.Interrupt(ctx, at, client.Notice, 0))
		select {
		case <-reached:
		case <-ctx.Done():
			require.Fail(t, "the worker never came to the step", step)
		}
		require.NoError(t, s.Kill(devtest.Worker))
		require.Equal(t, rows, notices(), step)
		require.NoError(t, s.Restart(ctx, devtest.Worker))

		moved, err := m.awaitMove(ctx, at)
		require.NoError(t, err, step)
		require.NotEqual(t, at, moved.Primary.ID)
		require.Eventually(t, func() bool {
			var carried bool
			require.NoError(t, b.pool.QueryRow(ctx, `
				SELECT EXISTS (
					SELECT FROM operation_steps
					WHERE operation_id = $1 AND name = 'notice arrived' AND detail = 'by the door eventbridge')`,
				"termination/"+m.id+"/"+at).Scan(&carried))
			return carried
		}, time.Minute, 50*time.Millisecond, "its workflow shows the door")
		require.Equal(t, 1, notices(), step)
		var changes int
		require.NoError(t, b.pool.QueryRow(ctx,
			`SELECT count(*) FROM role_changes WHERE agent_id = $1`, m.id).Scan(&changes))
		require.Equal(t, 1, changes, step)
	}
}
