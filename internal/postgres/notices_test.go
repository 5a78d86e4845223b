package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
)

func termination(instanceID string) interruption.Notice {
	return interruption.Notice{AgentID: "a1", InstanceID: instanceID, Kind: interruption.Termination, Door: "http"}
}

func (g *guarded) take(clientID string, n interruption.Notice) *roles.TakenNotice {
	g.t.Helper()
	got, err := (&postgres.Notices{DB: g.db}).Take(g.t.Context(), clientID, n, roles.JudgeNotice)
	require.NoError(g.t, err)
	return got
}

func TestTakeNoticeChangesTheRolesAtOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	for n := range 3 {
		got := g.take("k1", termination("i-0"))
		require.Equal(t, lines(true, n == 0, interruption.Promoted, successor.ID, "i-1"),
			lines(got.Known, got.First, got.Outcome.Result, got.Outcome.ReplicaID, got.Outcome.NewPrimary))
		if n == 0 {
			require.Equal(t, lines(roles.RuledFailOver, agent.Primary, "termination/a1/i-0"),
				lines(got.Verdict.Ruling, got.Role, got.Operation()))
		} else {
			require.Equal(t, lines(roles.RuledKnown, agent.Retiring, ""),
				lines(got.Verdict.Ruling, got.Role, got.Operation()))
		}
	}
	require.Equal(t, "i-1", g.set().Primary.ID)
	require.EqualValues(t, 1, g.set().Epoch)
	require.Equal(t, "3 http",
		one[string](g, `SELECT arrivals || ' ' || door FROM notices WHERE delivered_at IS NOT NULL`))
	require.Equal(t, "running",
		one[string](g, `SELECT state FROM operations WHERE id = 'termination/a1/i-0' AND tend_at > clock_timestamp()`))
	require.Equal(t, 1, one[int](g,
		`SELECT count(*) FROM interruptions WHERE pool_id = 't3.medium.us-east-1a' AND instance_age IS NOT NULL`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM events WHERE type = 'termination_notice'`))
	g.sound()
}

// TestTakeNoticeOpensTheNextStandby of manual mode with the change of roles, once, and
// leaves the Guardian nothing to judge.
func TestTakeNoticeOpensTheNextStandby(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET keeping = 'manual', review_at = NULL`)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	g.exec(`UPDATE replicas SET pool_id = 'm5.large.us-east-1b' WHERE id = $1`, successor.ID)
	g.exec(`UPDATE agents SET review_at = NULL`)
	got := g.take("k1", termination("i-0"))
	require.Equal(t, "manual i-1 requested m5.large", one[string](
		g,
		`SELECT kind || ' ' || made_for || ' ' || state || ' ' || (plan->>'instance_type') FROM replicas WHERE id = $1`,
		got.Standby,
	))
	require.Equal(t, "running requested",
		one[string](g,
			`SELECT state || ' ' || phase FROM operations WHERE id = 'replica/' || $1 AND tend_at IS NOT NULL`,
			got.Standby))
	require.Zero(t, one[int](g, `SELECT count(*) FROM agents WHERE review_at IS NOT NULL`))
	require.False(t, g.set().Unsettled())
	require.Empty(t, g.take("k1", termination("i-0")).Standby, "it was opened by the first one")
	require.Equal(t, 2, one[int](g, `SELECT count(*) FROM replicas`))
	g.sound()
}

// TestTakeNoticeThroughTwoDoorsAtOnce has one winner: the other one finds what it did.
func TestTakeNoticeThroughTwoDoorsAtOnce(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.successor(replica.Manual, "i-0", "i-1")
	doors := []string{"http", "eventbridge", "sweep", "http"}
	answers := make([]*roles.TakenNotice, len(doors))
	var wg sync.WaitGroup
	for i, door := range doors {
		wg.Go(func() {
			n := termination("i-0")
			n.Door = door
			answers[i] = g.take("", n)
		})
	}
	wg.Wait()
	changes := 0
	for _, got := range answers {
		require.Equal(t, "i-1", got.Outcome.NewPrimary)
		if got.Verdict.Ruling == roles.RuledFailOver {
			changes++
		}
	}
	require.Equal(t, 1, changes)
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM role_changes`))
	g.sound()
}

func TestTakeNoticeWithoutASuccessor(t *testing.T) {
	t.Parallel()

	g := guard(t)
	got := g.take("k1", termination("i-0"))
	require.Equal(t, lines(roles.RuledLaunch, interruption.Undecided, "termination/a1/i-0"),
		lines(got.Verdict.Ruling, got.Outcome.Result, got.Operation()))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM operations WHERE id = 'termination/a1/i-0'`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM agents WHERE review_at > clock_timestamp()`),
		"the sweep wakes a Guardian when the message is lost")
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notices WHERE delivered_at IS NULL`))

	again, err := g.TakeAgain(t.Context(), termination("i-0"), roles.JudgeNotice)
	require.NoError(t, err)
	require.Equal(t, roles.RuledLaunch, again.Verdict.Ruling)
	require.Equal(t, 1, one[int](g, `SELECT arrivals FROM notices WHERE delivered_at IS NOT NULL`),
		"a Guardian is no arrival")
}

// TestTakeNoticeIsKeptWhenTheSuccessorIsNotSound: the replica's row says ready, and its
// instance has ended.
func TestTakeNoticeIsKeptWhenTheSuccessorIsNotSound(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.successor(replica.Manual, "i-0", "i-1")
	g.exec(`UPDATE instances SET terminated_at = now() WHERE id = 'i-1'`)
	require.Equal(t, roles.RuledLaunch, g.take("k1", termination("i-0")).Verdict.Ruling)
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notices`))
	require.Equal(t, "i-0", g.set().Primary.ID)
}

func TestTakeNoticeOfAStandby(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	got := g.take("k1", termination("i-1"))
	require.Equal(t, lines(roles.RuledNotPrimary, agent.Replica, interruption.NotPrimary, successor.ID),
		lines(got.Verdict.Ruling, got.Role, got.Outcome.Result, got.Verdict.Lost))
	require.Equal(t, "retiring launch.instance_gone",
		one[string](g, `SELECT state || ' ' || error_code FROM replicas WHERE id = $1`, successor.ID))
	require.Equal(t, roles.RuledLaunch, g.take("k1", termination("i-0")).Verdict.Ruling, "it is no successor any more")
	g.sound()
}

func TestTakeNoticeOfStrangers(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	for _, instance := range []string{"i-unheard-of", "i-b"} {
		got := g.take("k1", termination(instance))
		require.False(t, got.Known, "acknowledged, and nothing more")
	}
	require.Zero(t, one[int](g, `SELECT count(*) FROM notices`))
	for _, stranger := range []interruption.Notice{{
		AgentID:    "b1",
		InstanceID: "i-b",
		Kind:       interruption.Termination,
	}, {AgentID: "a9", InstanceID: "i-0", Kind: interruption.Termination}} {
		_, err := (&postgres.Notices{DB: g.db}).Take(t.Context(), "k1", stranger, roles.JudgeNotice)
		require.Equal(t, agent.NotFound, fault.CodeOf(err))
	}
	require.Zero(t, one[int](g, `SELECT count(*) FROM notices`))
}

// TestNoticeDeadlines holds that a deadline lies between now and ten minutes ahead, and
// that of two the earlier one holds.
func TestNoticeDeadlines(t *testing.T) {
	t.Parallel()

	g := guard(t)
	left := func(n interruption.Notice) time.Duration {
		return g.take("", n).Outcome.Left.Round(time.Minute)
	}
	n := termination("i-0")
	n.Deadline = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, interruption.Furthest, left(n), "years ahead")
	n.Deadline = time.Time{}
	require.Equal(t, interruption.NoticeLead, left(n), "the earlier one holds: AWS's two minutes")
	n.Deadline = time.Now().Add(-time.Hour)
	require.Zero(t, left(n), "it is over")
	n.Deadline = time.Now().Add(5 * time.Minute)
	require.Zero(t, left(n))

	rebalance := interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Rebalance}
	require.Equal(t, replica.RebalanceHold, left(rebalance), "after that it came to nothing")
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM agents WHERE last_rebalance_at IS NOT NULL`))
}

// TestNoticeOfThePresentPrimaryNeverAgesOut: an agent that was lost is healed however
// long ago that was.
func TestNoticeOfThePresentPrimaryNeverAgesOut(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.noticed("i-0", interruption.Termination)
	g.exec(
		`
			UPDATE notices
			SET result = 'lost', received_at = now() - interval '3 days', deadline = now() - interval '3 days'`,
	)
	o, waits := g.set().Undecided()
	require.True(t, waits)
	require.Equal(t, interruption.Lost, o.Result)
	_, wanted := g.set().WantsEmergency()
	require.True(t, wanted)
}

// TestFailuresCountPerCause: nine failed standbys say nothing about the launch for a
// fresh notice.
func TestFailuresCountPerCause(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET failures = 9`)
	g.exec(`INSERT INTO replicas (client_id, agent_id, kind, made_for, state, launcher, ended_at)
		SELECT 'k1', 'a1', 'termination', 'i-before', 'failed', 'control-plane', now() FROM generate_series(1, 12)`)
	require.Equal(t, roles.Failures{Standby: 9}, g.set().Failures)
	require.Zero(t, g.set().BackOff(replica.Termination))
	r := g.open(replica.Termination, "i-0")
	require.True(t, g.advance(r.ID, replica.Failed, ""))
	require.Equal(t, roles.Failures{Standby: 9, Termination: 1}, g.set().Failures)
}

func TestDecideNotice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	notice := interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Rebalance}
	require.Equal(t, roles.RuledPrepare, g.take("k1", notice).Verdict.Ruling)
	for _, result := range []interruption.Result{interruption.StoodDown, interruption.Lost} {
		set, err := g.DecideNotice(t.Context(), activities.Decision{Notice: notice, Result: result})
		require.NoError(t, err)
		o, _ := set.Outcome("i-0", interruption.Rebalance)
		require.Equal(t, interruption.StoodDown, o.Result, "what was decided stays")
	}
	require.Zero(t, one[int](g, `SELECT count(*) FROM notifications`))
}

// TestSettleReviewKeepsWhatCameMeanwhile: a Guardian settles only what it has judged.
func TestSettleReviewKeepsWhatCameMeanwhile(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.take("k1", termination("i-0"))
	before := g.set()
	require.True(t, before.Review)
	_, err := g.SetKeeping(t.Context(), "a1", agent.KeepManual, "")
	require.NoError(t, err)
	require.NoError(t, g.SettleReview(t.Context(), activities.Review{AgentID: "a1", Seq: before.ReviewSeq}))
	require.True(t, g.set().Review, "the roles changed since")
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notices WHERE delivered_at IS NULL`),
		"a notice may be what changed them")
	for range 2 {
		require.NoError(t, g.SettleReview(t.Context(), activities.Review{AgentID: "a1", Seq: g.set().ReviewSeq}))
		require.False(t, g.set().Review)
	}
	require.Zero(t, one[int](g, `SELECT count(*) FROM notices WHERE delivered_at IS NULL`))
	require.NoError(t, g.SettleReview(t.Context(), activities.Review{
		AgentID: "a1",
		Seq:     g.set().ReviewSeq,
		Next:    time.Hour,
	}))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM agents WHERE review_at > now() + interval '50 minutes'`))
}
