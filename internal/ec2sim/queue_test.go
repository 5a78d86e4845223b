package ec2sim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/events"
)

// queueClient is the SDK's own client of the simulator's queue.
type queueClient struct {
	*sqs.Client
	url *string
}

func (c *cloud) queue() queueClient {
	return queueClient{url: aws.String(c.srv.URL + "/" + account + "/" + ec2sim.EventQueue), Client: sqs.New(sqs.Options{
		Region:       east,
		BaseEndpoint: aws.String(c.srv.URL),
		HTTPClient:   c.srv.Client(),
		Retryer:      aws.NopRetryer{},
		Credentials:  credentials.NewStaticCredentialsProvider(client.AccessKey(account), "secret", ""),
	})}
}

func (q queueClient) receive(t *testing.T, wait int32) []types.Message {
	t.Helper()
	out, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: q.url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait, VisibilityTimeout: 30,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	require.NoError(t, err)
	return out.Messages
}

// TestEventsOfAnInstance: the queue has each event of an instance's life once, as the
// control plane's parser reads them.
func TestEventsOfAnInstance(t *testing.T) {
	t.Parallel()
	var ticks int // the machine's clock: each look is later than the one before
	c := newCloud(t, ec2sim.Options{
		Now:    func() time.Time { ticks++; return start.Add(time.Duration(ticks) * time.Second) },
		Delays: client.Delays{Pending: 60, ShuttingDown: 60, Notice: 120},
	})
	q := c.queue()
	require.Empty(t, q.receive(t, 0))

	id := c.launch(t, order("a", zoneA))
	seen := func() (kinds []string) {
		for _, m := range q.receive(t, 0) {
			found, err := events.Parse([]byte(aws.ToString(m.Body)))
			require.NoError(t, err)
			require.Len(t, found, 1)
			require.Equal(t, id, found[0].InstanceID)
			require.Equal(t, account, found[0].Account)
			_, err = q.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: q.url, ReceiptHandle: m.ReceiptHandle})
			require.NoError(t, err)
			kinds = append(kinds, strings.TrimSpace(string(found[0].Kind)+" "+found[0].State+found[0].Action))
		}
		return kinds
	}
	require.Equal(t, []string{"state pending"}, seen())
	c.advance(t, 2*time.Minute)
	require.Equal(t, []string{"state running"}, seen())
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, client.Rebalance, 0))
	require.Equal(t, []string{"rebalance"}, seen())
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, client.Notice, 0))
	require.Equal(t, []string{"spot-interruption terminate"}, seen())
	c.advance(t, 150*time.Second)
	require.Equal(t, []string{"state shutting-down"}, seen())
	require.NoError(t, c.ctl.Announce(t.Context(), client.Announcements{Off: true}))
	c.advance(t, 10*time.Minute)
	require.Empty(t, seen(), "what happens while events are off is never announced")
}

// TestQueueKeepsSQSsRules: what is received is hidden, comes again when its time is over or
// given up, and is gone when it is deleted.
func TestQueueKeepsSQSsRules(t *testing.T) {
	t.Parallel()
	now := start
	c := newCloud(t, ec2sim.Options{Now: func() time.Time { return now }})
	q := c.queue()
	for _, body := range []string{"a", "b"} {
		_, err := q.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: q.url, MessageBody: aws.String(body)})
		require.NoError(t, err)
	}
	first := q.receive(t, 1)
	require.Len(t, first, 2)
	require.Empty(t, q.receive(t, 0))
	_, err := q.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: q.url, ReceiptHandle: first[0].ReceiptHandle, VisibilityTimeout: 0})
	require.NoError(t, err)
	again := q.receive(t, 0)
	require.Len(t, again, 1)
	require.Equal(t, "2", again[0].Attributes["ApproximateReceiveCount"])
	deleted, err := q.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{
		QueueUrl: q.url,
		Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("0"), ReceiptHandle: again[0].ReceiptHandle},
		},
	})
	require.NoError(t, err)
	require.Len(t, deleted.Successful, 1)
	now = now.Add(31 * time.Second)
	require.Len(t, q.receive(t, 0), 1, "the other one's time is over")
	left, err := q.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: q.url})
	require.NoError(t, err)
	raw, err := json.Marshal(left.Attributes)
	require.NoError(t, err)
	require.JSONEq(t, `{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"1"}`, string(raw))
	now = now.Add(10 * time.Minute)
	require.Empty(t, q.receive(t, 0), "events are not kept for longer than five minutes")

	_, err = q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(c.srv.URL + "/1/another")})
	require.ErrorContains(t, err, "QueueDoesNotExist")
}
