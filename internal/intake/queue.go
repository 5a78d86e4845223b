package intake

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	longPoll   = 20 * time.Second
	visibility = 30 * time.Second // above what handling a message may take
	perReceive = 10               // the most that SQS gives
)

// Message is one that was received and not deleted.
type Message struct {
	ID       string
	Receipt  string
	Body     string
	Sent     time.Time // when it came into the queue
	Received int       // how often, this time included
}

// Queue is where AWS's events arrive. A message that is received and not deleted comes
// again.
type Queue interface {
	// Receive waits for messages, twenty seconds at most.
	Receive(ctx context.Context) ([]Message, error)
	// Delete deletes messages of one receive.
	Delete(ctx context.Context, messages []Message) error
	// Postpone has a message come again after d.
	Postpone(ctx context.Context, m Message, d time.Duration) error
}

// SQS is a queue of Amazon SQS.
type SQS struct {
	Client *sqs.Client
	URL    string
}

// NewSQS makes a queue of its address, such as
// https://sqs.eu-west-1.amazonaws.com/111122223333/spotkeeper-events. The region is the
// address's, where it names one.
func NewSQS(config aws.Config, endpoint, queueURL string) *SQS {
	return &SQS{URL: queueURL, Client: sqs.NewFromConfig(config, func(o *sqs.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		if region := regionOf(queueURL); region != "" {
			o.Region = region
		}
	})}
}

func regionOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	parts := strings.Split(u.Hostname(), ".")
	if len(parts) >= 4 && parts[0] == "sqs" && parts[2] == "amazonaws" {
		return parts[1]
	}
	return ""
}

// Receive implements Queue.
func (q *SQS) Receive(ctx context.Context) ([]Message, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+10*time.Second)
	defer cancel()
	out, err := q.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(q.URL), MaxNumberOfMessages: perReceive, WaitTimeSeconds: int32(longPoll / time.Second),
		VisibilityTimeout: int32(visibility / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameSentTimestamp, types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", q.URL, err)
	}
	messages := make([]Message, 0, len(out.Messages))
	for _, m := range out.Messages {
		one := Message{
			ID:       aws.ToString(m.MessageId),
			Receipt:  aws.ToString(m.ReceiptHandle),
			Body:     aws.ToString(m.Body),
			Received: 1,
			Sent:     time.Now(), // unless SQS says better
		}
		if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
			one.Sent = time.UnixMilli(ms)
		}
		if n, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"]); err == nil {
			one.Received = n
		}
		messages = append(messages, one)
	}
	return messages, nil
}

// Delete implements Queue. It fails when a message was not deleted.
func (q *SQS) Delete(ctx context.Context, messages []Message) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for n, m := range messages {
		entries[n] = types.DeleteMessageBatchRequestEntry{
			Id:            aws.String(strconv.Itoa(n)),
			ReceiptHandle: aws.String(m.Receipt),
		}
	}
	out, err := q.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: aws.String(q.URL),
		Entries:  entries,
	})
	if err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		first := out.Failed[0]
		return fmt.Errorf("%d of %d messages were not deleted, the first: %s: %s", len(out.Failed), len(messages),
			aws.ToString(first.Code), aws.ToString(first.Message))
	}
	return nil
}

// Postpone implements Queue.
func (q *SQS) Postpone(ctx context.Context, m Message, d time.Duration) error {
	_, err := q.Client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: aws.String(q.URL), ReceiptHandle: aws.String(m.Receipt),
		VisibilityTimeout: int32(d / time.Second)}) //nolint:gosec // hours at most
	return err
}
