package intake_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/awsevents"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) {
	code := postgrestest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// memory is a queue with SQS's rule: what is not deleted comes again. A message comes when it
// is sent, which may be in the future.
type memory struct {
	mu       sync.Mutex
	waiting  []intake.Message
	inFlight map[string]intake.Message
	deleted  []string
	failing  error         // of each call
	slept    time.Duration // what messages were postponed for: the clock of the queue's intake goes on by it
}

func newMemory(bodies ...string) *memory {
	q := &memory{inFlight: map[string]intake.Message{}}
	for n, body := range bodies {
		q.waiting = append(q.waiting, intake.Message{
			ID:      fmt.Sprint("m", n),
			Receipt: fmt.Sprint("m", n),
			Body:    body,
			Sent:    time.Now(),
		})
	}
	return q
}

func (q *memory) Receive(ctx context.Context) ([]intake.Message, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if got, err := q.take(); len(got) > 0 || err != nil {
			return got, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func (q *memory) take() ([]intake.Message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failing != nil {
		return nil, q.failing
	}
	n := 0
	for n < min(len(q.waiting), 10) && !q.waiting[n].Sent.After(time.Now()) {
		n++
	}
	got := append([]intake.Message{}, q.waiting[:n]...)
	q.waiting = q.waiting[n:]
	for i := range got {
		got[i].Received++
		q.inFlight[got[i].ID] = got[i]
	}
	return got, nil
}

func (q *memory) Delete(_ context.Context, messages []intake.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failing != nil {
		return q.failing
	}
	for _, m := range messages {
		delete(q.inFlight, m.ID)
		q.deleted = append(q.deleted, m.ID)
	}
	return nil
}

// Postpone has the message come again at once: the tests wait for nothing.
func (q *memory) Postpone(_ context.Context, m intake.Message, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.slept += d
	delete(q.inFlight, m.ID)
	q.waiting = append(q.waiting, m)
	return nil
}

// send puts another message into the queue.
func (q *memory) send(body string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := fmt.Sprint("sent", len(q.waiting)+len(q.inFlight)+len(q.deleted))
	q.waiting = append(q.waiting, intake.Message{ID: id, Receipt: id, Body: body, Sent: time.Now()})
}

// expire is the end of every visibility: what was received comes again.
func (q *memory) expire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, m := range q.inFlight {
		q.waiting = append(q.waiting, m)
		delete(q.inFlight, id)
	}
}

func (q *memory) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = err
}

func (q *memory) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + len(q.inFlight)
}

// followed records what was to be followed.
type followed struct {
	mu    sync.Mutex
	taken []*roles.TakenNotice
}

func (f *followed) BeginNotice() func() { return func() {} }

func (f *followed) Add(t *roles.TakenNotice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = append(f.taken, t)
}

func (f *followed) count(ruling roles.Ruling) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, t := range f.taken {
		if t.Verdict.Ruling == ruling {
			n++
		}
	}
	return n
}

// cloud shows instances in the states that a test gives them.
// A state may be followed by its reason.
type cloud map[string]string

func (c cloud) State(_ context.Context, _ activities.Account, _, id string) (*activities.CloudInstance, error) {
	state, reason, _ := strings.Cut(c[id], " ")
	return &activities.CloudInstance{ID: id, State: state, Reason: reason}, nil
}

// world is agent a1 of client k1 on i-0 with its standby i-1 ready, all in the control
// plane's own account 111122223333, and k2's agent a2 on i-2 in 444455556666.
type world struct {
	t        *testing.T
	db       *pg.DB
	store    *awsevents.Intake
	cloud    cloud
	followed *followed
	registry *prometheus.Registry
	metrics  *intake.Metrics

	mu    sync.Mutex
	woken []string // agents
}

func (w *world) wake(_ context.Context, agentID, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = append(w.woken, agentID)
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := postgrestest.Open(t)
	r := prometheus.NewRegistry()
	w := &world{
		t:        t,
		db:       db,
		cloud:    cloud{},
		followed: &followed{},
		registry: r,
		metrics:  intake.NewMetrics(r),
		store: &awsevents.Intake{
			Notices:    postgres.Notices{DB: db},
			OwnAccount: func(context.Context) (string, error) { return "111122223333", nil },
		},
	}
	w.exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed, role_arn, account_id, own_account) VALUES
		('k1', 'Acme', 'k@x', '\x01', '\x01', '', '', true),
		('k2', 'Beta', 'l@x', '\x02', '\x02', 'arn:aws:iam::444455556666:role/spotkeeper', '444455556666', false)`)
	for client, agent := range map[string]string{"k1": "a1", "k2": "a2"} {
		w.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ($2, $1, $2)`, client, agent)
	}
	w.instance("k1", "a1", "i-0", "primary")
	w.instance("k1", "a1", "i-1", "replica")
	w.instance("k2", "a2", "i-2", "primary")
	w.exec(
		`
			INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher, state, instance_id, pool_id,
				request_id)
			VALUES ('r1', 'k1', 'a1', 'manual', 'i-0', 'control-plane', 'ready', 'i-1', 't3.medium.us-east-1b', 'r1')`,
	)
	return w
}

func (w *world) instance(client, agent, id, role string) {
	w.t.Helper()
	w.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
			launched_by, proof)
		VALUES ($1, $2, $3, $4, 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot', 'ami-1',
			'control-plane', 'launched')`,
		id,
		client,
		agent,
		role,
	)
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) read(sql string, args ...any) (out string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Pool.QueryRow(w.t.Context(), sql, args...).Scan(&out))
	return out
}

// now is the time with what messages were postponed for.
func (q *memory) now() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Now().Add(q.slept)
}

func (w *world) intake(q intake.Queue) *intake.Intake {
	now := time.Now
	if m, ok := q.(*memory); ok {
		now = m.now
	}
	return &intake.Intake{
		Queue:   q,
		Store:   w.store,
		Fleet:   w.cloud,
		Follow:  w.followed,
		Wake:    w.wake,
		ActOn:   intake.Groups(),
		Metrics: w.metrics,
		Log:     slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Now:     now,
	}
}

// drain runs an intake until its queue is empty.
func (w *world) drain(q *memory) {
	w.t.Helper()
	w.drainBy(w.intake(q), q)
}

func (w *world) drainBy(i *intake.Intake, q *memory) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	require.Eventually(w.t, func() bool { return q.left() == 0 }, time.Minute, time.Millisecond)
	cancel()
	require.NoError(w.t, <-ended)
}

// counted are the outcomes of the counter.
func (w *world) counted() map[string]int {
	w.t.Helper()
	families, err := w.registry.Gather()
	require.NoError(w.t, err)
	out := map[string]int{}
	for _, f := range families {
		if f.GetName() != "spotkeeper_events_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			out[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = int(m.GetCounter().GetValue())
		}
	}
	return out
}

// quiet drops what a benchmark would log.
var quiet = slog.New(slog.DiscardHandler)

const own, other = "111122223333", "444455556666"

func event(detailType, account, detail string, at time.Time) string {
	source := "aws.ec2"
	return fmt.Sprintf(
		`{"version":"0","id":"e-1","detail-type":%q,"source":%q,"account":%q,"time":%q,"region":"us-east-1","resources":[],"detail":%s}`,
		detailType,
		source,
		account,
		at.UTC().Format(time.RFC3339),
		detail,
	)
}

func interruption(account, instance string, at time.Time) string {
	return event("EC2 Spot Instance Interruption Warning", account,
		fmt.Sprintf(`{"instance-id":%q,"instance-action":"terminate"}`, instance), at)
}

func stateChange(account, instance, state string) string {
	return event("EC2 Instance State-change Notification", account,
		fmt.Sprintf(`{"instance-id":%q,"state":%q}`, instance, state), time.Now())
}
