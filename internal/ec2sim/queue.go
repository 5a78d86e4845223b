package ec2sim

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS checks its messages with MD5
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// EventQueue is the name of the queue that the events of all accounts and regions come into,
// as EventBridge delivers them. Its address is that of the simulator, followed by
// /<account>/spotkeeper-events.
const EventQueue = "spotkeeper-events"

const (
	queueLook      = 100 * time.Millisecond // between two looks of a receive that waits
	queueRetention = 5 * time.Minute        // as the queue of deploy/cloudformation has it
	queueVisible   = 30 * time.Second
	queueBatch     = 10
)

// queue is an SQS queue in memory, on the machine's clock: what is received and not
// deleted comes again. A restart of the simulator empties it.
type queue struct {
	mu       sync.Mutex
	serial   int
	messages []*queued
}

type queued struct {
	id       string
	receipt  string
	body     string
	sent     time.Time
	visible  time.Time
	received int
}

func (q *queue) send(body string, now time.Time) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serial++
	id := requestID()
	q.messages = append(q.messages, &queued{id: id, body: body, sent: now, visible: now})
	return id
}

// receive hides up to n messages for a while.
func (q *queue) receive(n int, hide time.Duration, now time.Time) []wireMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []wireMessage
	kept := q.messages[:0]
	for _, m := range q.messages {
		if now.Sub(m.sent) > queueRetention {
			continue
		}
		kept = append(kept, m)
		if len(out) < n && !now.Before(m.visible) {
			m.received++
			m.visible = now.Add(hide)
			m.receipt = m.id + "/" + strconv.Itoa(m.received)
			out = append(out, m.wire())
		}
	}
	clear(q.messages[len(kept):])
	q.messages = kept
	return out
}

// hide changes when a message comes again; never, when for is negative: it is deleted.
func (q *queue) hide(receipt string, until time.Duration, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n, m := range q.messages {
		if m.receipt != receipt {
			continue
		}
		if until < 0 {
			q.messages = append(q.messages[:n], q.messages[n+1:]...)
			return
		}
		m.visible = now.Add(until)
		return
	}
}

// counts gives how many messages can be received, and how many are hidden.
func (q *queue) counts(now time.Time) (visible, hidden int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if now.Before(m.visible) {
			hidden++
		} else {
			visible++
		}
	}
	return visible, hidden
}

type wireMessage struct {
	MessageId     string //nolint:revive // AWS's name
	ReceiptHandle string
	Body          string
	MD5OfBody     string
	Attributes    map[string]string
}

func (m *queued) wire() wireMessage {
	return wireMessage{
		MessageId: m.id, ReceiptHandle: m.receipt, Body: m.body, MD5OfBody: digest(m.body),
		Attributes: map[string]string{
			"SentTimestamp":           strconv.FormatInt(m.sent.UnixMilli(), 10),
			"ApproximateReceiveCount": strconv.Itoa(m.received),
		},
	}
}

func digest(body string) string {
	sum := md5.Sum([]byte(body)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// queueRequest has the parameters of all operations of SQS that are known here.
type queueRequest struct {
	QueueUrl            string //nolint:revive // AWS's name
	MessageBody         string
	ReceiptHandle       string
	MaxNumberOfMessages int
	VisibilityTimeout   *int
	WaitTimeSeconds     int
	Entries             []struct{ Id, ReceiptHandle string } //nolint:revive // AWS's name
}

// answerQueue answers SQS (JSON 1.0).
func (s *Server) answerQueue(c *call, r *http.Request) (any, error) {
	var in queueRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, fail("SerializationException", "The request cannot be read: %v", err)
	}
	if path.Base(in.QueueUrl) != EventQueue {
		return nil, fail("QueueDoesNotExist", "There is no queue %q.", in.QueueUrl)
	}
	var answer any
	if _, err := s.perform(r.Context(), c, func(*call) (replier, error) {
		if c.action != "ReceiveMessage" {
			var err error
			answer, err = s.queueAction(c.action, in)
			return nil, err
		}
		return nil, nil //nolint:nilnil // receiving waits, and not in the world's lock
	}); err != nil {
		return nil, err
	}
	if c.action == "ReceiveMessage" {
		return s.receiveMessages(r.Context(), in), nil
	}
	return answer, nil
}

func (s *Server) queueAction(action string, in queueRequest) (any, error) {
	now := s.opts.Now()
	switch action {
	case "SendMessage":
		return map[string]string{"MessageId": s.queue.send(in.MessageBody, now),
			"MD5OfMessageBody": digest(in.MessageBody)}, nil
	case "DeleteMessage":
		s.queue.hide(in.ReceiptHandle, -1, now)
		return nothing{}, nil
	case "DeleteMessageBatch":
		done := []map[string]string{}
		for _, e := range in.Entries {
			s.queue.hide(e.ReceiptHandle, -1, now)
			done = append(done, map[string]string{"Id": e.Id})
		}
		return map[string]any{"Successful": done, "Failed": []any{}}, nil
	case "ChangeMessageVisibility":
		hide := queueVisible
		if in.VisibilityTimeout != nil {
			hide = time.Duration(*in.VisibilityTimeout) * time.Second
		}
		s.queue.hide(in.ReceiptHandle, hide, now)
		return nothing{}, nil
	case "GetQueueAttributes":
		visible, hidden := s.queue.counts(now)
		return map[string]any{"Attributes": map[string]string{
			"ApproximateNumberOfMessages":           strconv.Itoa(visible),
			"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		}}, nil
	}
	return nil, fail("UnknownOperationException", "There is no operation %s.", action)
}

// receiveMessages waits for messages as long as the caller asks.
func (s *Server) receiveMessages(ctx context.Context, in queueRequest) any {
	hide := queueVisible
	if in.VisibilityTimeout != nil {
		hide = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	over := time.NewTimer(time.Duration(in.WaitTimeSeconds) * time.Second)
	defer over.Stop()
	look := time.NewTicker(queueLook)
	defer look.Stop()
	for last := in.WaitTimeSeconds == 0; ; {
		s.announce()
		got := s.queue.receive(min(max(in.MaxNumberOfMessages, 1), queueBatch), hide, s.opts.Now())
		if len(got) > 0 || last {
			return map[string]any{"Messages": got}
		}
		select {
		case <-ctx.Done():
			last = true
		case <-s.closing:
			last = true
		case <-over.C:
			last = true
		case <-look.C:
		}
	}
}
