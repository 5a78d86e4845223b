package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/testkit/moto"
)

// eventQueue is a queue at moto that events are put into as EventBridge does.
type eventQueue struct {
	t        *testing.T
	endpoint string
	url      string
}

func newEventQueue(t *testing.T) *eventQueue {
	t.Helper()
	q := &eventQueue{t: t, endpoint: moto.Start(t)}
	said := q.call("/", url.Values{"Action": {"CreateQueue"}, "QueueName": {"spotkeeper-events"}})
	_, rest, found := strings.Cut(said, "<QueueUrl>")
	require.True(t, found, said)
	q.url, _, _ = strings.Cut(rest, "</QueueUrl>")
	return q
}

func (q *eventQueue) call(path string, form url.Values) string {
	q.t.Helper()
	form.Set("Version", "2012-11-05")
	request, err := http.NewRequestWithContext(q.t.Context(), http.MethodPost,
		q.endpoint+path, strings.NewReader(form.Encode()))
	require.NoError(q.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization",
		"AWS4-HMAC-SHA256 Credential=test/20261128/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0")
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	require.NoError(q.t, err)
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	require.NoError(q.t, err)
	require.Equal(q.t, http.StatusOK, answer.StatusCode, "%s", content)
	return string(content)
}

// interrupted is AWS's event about an instance.
func (q *eventQueue) interrupted(account, instance string) {
	q.t.Helper()
	body := fmt.Sprintf(
		`{"version":"0","id":"e-%[1]s","detail-type":"EC2 Spot Instance Interruption Warning","source":"aws.ec2","account":%[2]q,"time":%[3]q,
		"region":"us-east-1","resources":[],"detail":{"instance-id":%[1]q,"instance-action":"terminate"}}`,
		instance,
		account,
		time.Now().UTC().Format(time.RFC3339),
	)
	u, err := url.Parse(q.url)
	require.NoError(q.t, err)
	q.call(u.Path, url.Values{"Action": {"SendMessage"}, "MessageBody": {body}})
}

// TestDoors: a notice through the queue alone, with the api and Temporal stopped, and
// through the queue and the agent in either order.
func TestDoors(t *testing.T) {
	t.Parallel()
	q := newEventQueue(t)
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{
		"EVENTS_QUEUE_URL":     q.url,
		"AWS_ENDPOINT_URL_SQS": q.endpoint,
	}})
	f := newFleet(t, s, newTenant(t, s))
	b := openBooks(t, s)
	ctx := deadline(t, 4*time.Minute)

	standby := func(name string) (m *member, at string) {
		m, at = mustJoin(t, f, name)
		require.NoError(t, m.reportPrices(ctx, at))
		require.NoError(t, m.emergency(ctx, "rebalance-recommendation", at))
		_, _, err := m.awaitReady(ctx)
		require.NoError(t, err)
		return m, at
	}
	row := func(m *member) (doors string) {
		err := b.pool.QueryRow(
			ctx,
			`
				SELECT coalesce(string_agg(door || ' ' || second_door || ' ' || result, ','), '')
				FROM notices
				WHERE agent_id = $1 AND kind = 'termination-notice'`,
			m.id,
		).Scan(&doors)
		require.NoError(t, err)
		return doors
	}
	becomes := func(m *member, want string) {
		t.Helper()
		require.Eventually(t, func() bool { return row(m) == want }, time.Minute, 20*time.Millisecond, "%s", want)
		var changes int
		require.NoError(t, b.pool.QueryRow(ctx, `SELECT count(*) FROM role_changes WHERE agent_id = $1`, m.id).
			Scan(&changes))
		require.Equal(t, 1, changes)
	}

	first, at := standby("http first")
	_, err := first.notice(ctx, at, time.Minute)
	require.NoError(t, err)
	q.interrupted(f.who.Account, at)
	becomes(first, "http eventbridge promoted")

	second, at := standby("queue first")
	q.interrupted(f.who.Account, at)
	becomes(second, "eventbridge  promoted")
	action, err := second.notice(ctx, at, time.Minute)
	require.NoError(t, err)
	require.Equal(t, "replica_promoted", action)
	becomes(second, "eventbridge http promoted")

	_, metrics, err := devtest.Get(ctx, s.WorkerMetrics+"/metrics")
	require.NoError(t, err)
	require.Contains(t, metrics, `spotkeeper_notice_door_lag_seconds_count{first="http",kind="termination-notice"} 1`)

	alone, at := standby("queue alone")
	require.NoError(t, s.Stop(ctx, devtest.API))
	require.NoError(t, s.Kill(devtest.Temporal))
	q.interrupted(f.who.Account, at)
	becomes(alone, "eventbridge  promoted")
	require.NoError(t, s.Restart(context.WithoutCancel(ctx), devtest.Temporal))
	require.NoError(t, s.Restart(context.WithoutCancel(ctx), devtest.API))
	moved, err := alone.state(ctx)
	require.NoError(t, err)
	require.NotEqual(t, at, moved.Primary.ID)
}
