package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// scalingGroup records what EC2 Auto Scaling is asked.
type scalingGroup struct {
	*httptest.Server

	mu    sync.Mutex
	asked []string
}

func newScalingGroup(t *testing.T) *scalingGroup {
	t.Helper()
	g := &scalingGroup{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		action := r.Form.Get("Action")
		g.mu.Lock()
		g.asked = append(g.asked, action+" "+r.Form.Get("LifecycleActionToken")+" "+r.Form.Get("LifecycleActionResult"))
		g.mu.Unlock()
		_, _ = w.Write([]byte(`<` + action + `Response><` + action + `Result/></` + action + `Response>`))
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *scalingGroup) was(asked string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.asked, asked)
}

// announce puts an event into the simulator's queue, as EventBridge delivers it.
func (f *fleet) announce(ctx context.Context, t *testing.T, source, detailType, detail string) {
	t.Helper()
	event := fmt.Sprintf(`{"version":"0","id":"e-%d","detail-type":%q,"source":%q,"account":%q,"time":%q,
		"region":%q,"resources":[],"detail":%s}`, time.Now().UnixNano(), detailType, source, f.who.Account,
		time.Now().UTC().Format(time.RFC3339), region, detail)
	body, err := json.Marshal(map[string]string{
		"QueueUrl":    f.EventQueue,
		"MessageBody": event,
	})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.EC2+"/", bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261128/"+region+
		"/sqs/aws4_request, SignedHeaders=host, Signature=0")
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s", said)
}

// TestPlannedMoves: an agent leaves an instance that AWS will retire within the hour, by a
// switch, although it came there a moment ago; and one that its Auto Scaling group ends, which
// then goes on.
func TestPlannedMoves(t *testing.T) {
	t.Parallel()
	group := newScalingGroup(t)
	s := devtest.Start(t, devtest.Options{Events: true, Environment: map[string]string{
		"AWS_ENDPOINT_URL_AUTO_SCALING": group.URL,
		"EVENTS_ACT_ON":                 "health,asg", // nothing else is a reason to move
		"EVENTS_SURVEY":                 "0s",
	}})
	f := newFleet(t, s, newTenant(t, s))
	b := openBooks(t, s)
	ctx := deadline(t, 2*time.Minute)

	retired, at := mustJoin(t, f, "retired")
	require.NoError(t, retired.reportPrices(ctx, at))
	for range 2 { // AWS sends a backup copy
		f.announce(ctx, t, "aws.health", "AWS Health Event", fmt.Sprintf(`{"service":"EC2","communicationId":"comm-1",
			"eventRegion":%q,"eventTypeCode":"AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED","eventTypeCategory":"scheduledChange",
			"startTime":%q,"affectedEntities":[{"entityValue":%q}]}`, region,
			time.Now().Add(30*time.Minute).UTC().Format(http.TimeFormat), at))
	}

	ended, from := mustJoin(t, f, "ended")
	require.NoError(t, ended.reportPrices(ctx, from))
	require.NoError(t, ended.emergency(ctx, "rebalance-recommendation", from))
	_, _, err := ended.awaitReady(ctx)
	require.NoError(t, err)
	f.announce(ctx, t, "aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", fmt.Sprintf(
		`{"LifecycleActionToken":"t-1","AutoScalingGroupName":"web","LifecycleHookName":"spotkeeper","EC2InstanceId":%q,
		"LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING"}`, from))
	_, err = ended.awaitMove(ctx, from)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return group.was("CompleteLifecycleAction t-1 CONTINUE") }, time.Minute,
		50*time.Millisecond)

	moved, err := retired.awaitMove(ctx, at)
	require.NoError(t, err)
	require.NotEqual(t, at, moved.Primary.ID)
	var move, commands string
	require.NoError(t, b.pool.QueryRow(ctx, `
		SELECT string_agg(result || ' ' || reason, ','),
			(SELECT string_agg(created_by, ',') FROM commands WHERE agent_id = $1)
		FROM planned_moves WHERE agent_id = $1`, retired.id).Scan(&move, &commands))
	require.Equal(t, "ordered AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED", move)
	require.Equal(t, "aws", commands)
}
