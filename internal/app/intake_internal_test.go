package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/moto"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestEventsFailOverWithoutTemporal: a worker whose Temporal never answers takes a notice
// in from SQS, and the ready standby is the primary.
func TestEventsFailOverWithoutTemporal(t *testing.T) {
	t.Parallel()
	endpoint := moto.Start(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	queues := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("spotkeeper-events")})
	require.NoError(t, err)
	sim := ec2sim.New(ec2sim.Options{})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	settings, err := config.Load(map[string]string{
		"DATABASE_URL":         postgrestest.URL(t),
		"EC2_SIMULATED":        "true",
		"AWS_ENDPOINT_URL_EC2": server.URL,
		"ARTIFACTS_URL":        t.TempDir(),
		"SECRET_KEY":           "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"EVENTS_QUEUE_URL":     aws.ToString(queue.QueueUrl),
		"AWS_ENDPOINT_URL_SQS": endpoint,
	})
	require.NoError(t, err)
	settings.Worker.MetricsListen = ""
	a, err := Open(t.Context(), settings, Options{
		Log:      slog.New(slog.DiscardHandler),
		Temporal: temporalx.Options{Address: "127.0.0.1:1", Namespace: "default"},
	})
	require.NoError(t, err)
	t.Cleanup(a.Close)
	for _, sql := range []string{
		`
			INSERT INTO clients (id, name, email, token_hash, token_sealed, own_account)
			VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01', true)`,
		`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a1', 'k1', 'web')`,
		`
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
				launched_by, proof)
			SELECT id, 'k1', 'a1', role, 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot',
				'ami-1', 'control-plane', 'launched'
			FROM (VALUES ('i-0', 'primary'), ('i-1', 'replica')) x (id, role)`,
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher, state, instance_id, pool_id)
			VALUES ('r1', 'k1', 'a1', 'manual', 'i-0', 'control-plane', 'ready', 'i-1', 't3.medium.us-east-1b')`,
	} {
		_, err := a.DB.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.RunWorker(ctx) }()

	_, err = queues.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: queue.QueueUrl,
		MessageBody: aws.String(fmt.Sprintf(
			`{"version":"0","id":"e-1","detail-type":"EC2 Spot Instance Interruption Warning","source":"aws.ec2","account":%q,"time":%q,"region":"us-east-1","resources":[],"detail":{"instance-id":"i-0","instance-action":"terminate"}}`,
			simclient.DefaultAccount,
			time.Now().UTC().Format(time.RFC3339),
		)),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var primary string
		err := a.DB.Pool.QueryRow(t.Context(), `SELECT id FROM instances WHERE agent_id = 'a1' AND role = 'primary'`).
			Scan(&primary)
		return err == nil && primary == "i-1"
	}, time.Minute, 10*time.Millisecond)
	// The counters follow the commit, so the roles may be read a moment before them.
	require.Eventually(t, func() bool {
		page := httptest.NewRecorder()
		promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}).
			ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
		counted := page.Body.String()
		return strings.Contains(counted,
			`spotkeeper_notices_total{door="eventbridge",first="yes",kind="termination-notice"} 1`) &&
			strings.Contains(counted, `spotkeeper_event_age_seconds_count{kind="spot-interruption"} 1`)
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-ended, "a worker that is stopped while it waits has not failed")
}
