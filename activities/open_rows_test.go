package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"spotkeeper/activities"
)

// shelf is the store of open rows in memory.
type shelf struct {
	operations                  []activities.OpenRow
	noticed, agents, rollouts   []string
	againOperations, againAgent []string
	soon                        int
	claims                      []string // in their order
}

func (s *shelf) ClaimOperations(_ context.Context, limit int) ([]activities.OpenRow, error) {
	s.claims = append(s.claims, strconv.Itoa(limit)+" operations")
	return s.operations, nil
}
func (s *shelf) ClaimReviews(_ context.Context, limit int, noticed bool) ([]string, error) {
	if noticed {
		s.claims = append(s.claims, strconv.Itoa(limit)+" noticed")
		return s.noticed, nil
	}
	s.claims = append(s.claims, strconv.Itoa(limit)+" reviews")
	return s.agents, nil
}
func (s *shelf) ClaimRollouts(context.Context, int) ([]string, error) { return s.rollouts, nil }
func (s *shelf) TendSoon(context.Context, time.Duration) error        { s.soon++; return nil }
func (s *shelf) ClaimAgain(_ context.Context, operations, agents []string, _ time.Duration) error {
	s.againOperations, s.againAgent = operations, agents
	return nil
}

// starter is Temporal: some workflows run, some cannot be started.
type starter struct {
	mu      sync.Mutex
	away    error
	running map[string]bool
	stuck   map[string]bool
	started []string
}

func (s *starter) Ping(context.Context) error { return s.away }

func (s *starter) start(ctx context.Context, id string) (bool, error) {
	if s.stuck[id] {
		<-ctx.Done()
		return false, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, id)
	return !s.running[id], nil
}

func (s *starter) Wake(ctx context.Context, agentID, _ string) error {
	_, err := s.start(ctx, agentID)
	return err
}

func (s *starter) StartOperation(ctx context.Context, row activities.OpenRow) (bool, error) {
	return s.start(ctx, row.ID)
}

func (s *starter) StartRolloutOf(ctx context.Context, id string) (bool, error) {
	return s.start(ctx, id)
}

func newSweep(rows *shelf, temporal *starter) *activities.OpenRows {
	return &activities.OpenRows{Store: rows, Workflows: temporal, Log: slog.New(slog.DiscardHandler)}
}

func TestSweepStartsWhatIsMissing(t *testing.T) {
	t.Parallel()

	rows := &shelf{agents: []string{"a1"}, rollouts: []string{"m1"}, operations: []activities.OpenRow{
		{ID: "replica/r1", AgentID: "a1"}, {ID: "switch/c1", AgentID: "a1"}}}
	temporal := &starter{running: map[string]bool{"switch/c1": true}}
	out, err := newSweep(rows, temporal).Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, activities.SweepCounts{Started: 2, Running: 1, Woken: 1}, out)
	require.ElementsMatch(t, []string{"a1", "m1", "replica/r1", "switch/c1"}, temporal.started)
	require.Zero(t, rows.soon)
}

// TestSweepTakesLivesFirst: agents whose instance ends and that have no successor come
// first, then the operations, then the rest, which has a quarter of every pass.
func TestSweepTakesLivesFirst(t *testing.T) {
	t.Parallel()

	rows, temporal := &shelf{noticed: []string{"noticed"}, agents: []string{"at rest"}}, &starter{}
	for n := range 100 {
		rows.operations = append(rows.operations, activities.OpenRow{ID: "replica/" + strconv.Itoa(n)})
	}
	sweep := newSweep(rows, temporal)
	sweep.Pace = rate.NewLimiter(rate.Inf, 1)
	out, err := sweep.Sweep(t.Context())
	require.NoError(t, err)
	require.True(t, out.More, "a full claim may have left some")
	require.Equal(t, []string{"100 noticed", "100 operations", "25 reviews"}, rows.claims)
	require.Len(t, temporal.started, 102)

	rows.operations = rows.operations[:10]
	rows.claims = nil
	out, err = sweep.Sweep(t.Context())
	require.NoError(t, err)
	require.False(t, out.More)
	require.Equal(t, []string{"100 noticed", "100 operations", "90 reviews"}, rows.claims)
}

// TestSweepHealsATemporalThatLostItsState: an old row whose workflow is missing makes
// all of them due, once in a while.
func TestSweepHealsATemporalThatLostItsState(t *testing.T) {
	t.Parallel()

	rows := &shelf{operations: []activities.OpenRow{{ID: "replica/r1", Begun: true}}}
	sweep := newSweep(rows, &starter{})
	for range 3 {
		out, err := sweep.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, out.Lost)
	}
	require.Equal(t, 1, rows.soon)
}

// TestSweepIsNotHeldUpByRowsThatCannotBeTended: two dozen of them cost their own
// deadline, and the others are started in the same pass.
func TestSweepIsNotHeldUpByRowsThatCannotBeTended(t *testing.T) {
	t.Parallel()

	rows, temporal := &shelf{}, &starter{stuck: map[string]bool{}}
	for n := range 3 {
		id := "switch/stuck" + string(rune('a'+n))
		temporal.stuck[id] = true
		rows.operations = append(rows.operations, activities.OpenRow{ID: id})
	}
	rows.operations = append(rows.operations, activities.OpenRow{ID: "replica/r1"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			temporal.mu.Lock()
			done := len(temporal.started) == 1
			temporal.mu.Unlock()
			if done {
				cancel()
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	out, err := newSweep(rows, temporal).Sweep(ctx)
	require.NoError(t, err)
	require.Equal(t, activities.SweepCounts{Started: 1, Failed: 3}, out)
	require.Len(t, rows.againOperations, 3, "they are due again in a moment, behind the others")
}

func TestSweepClaimsNothingWhileTemporalIsAway(t *testing.T) {
	t.Parallel()

	temporal := &starter{away: errors.New("away")}
	_, err := newSweep(&shelf{agents: []string{"a1"}}, temporal).Sweep(t.Context())
	require.Error(t, err)
	require.Empty(t, temporal.started)
}
