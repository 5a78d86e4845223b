package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

func TestArrive(t *testing.T) {
	t.Parallel()

	g := guard(t)
	desk := &postgres.Notices{DB: g.db}
	deadline := time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond)
	notice := interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Termination, Deadline: deadline, Door: "http"}
	for n := range 3 {
		got, err := desk.Arrive(t.Context(), "k1", notice)
		require.NoError(t, err)
		require.Equal(t, &postgres.Arrival{First: n == 0, Primary: true, Known: true, Launcher: agent.ControlPlane,
			Outcome: interruption.Outcome{InstanceID: "i-0", Kind: interruption.Termination, Deadline: deadline}}, got)
		require.False(t, got.Decided())
		notice.Deadline, notice.Door = deadline.Add(time.Hour), "eventbridge"
	}
	require.Equal(t, "3 http", one[string](g, `SELECT arrivals || ' ' || door FROM notices`), "the first arrival stands")
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM interruptions WHERE pool_id = 't3.medium.us-east-1a' AND instance_age IS NOT NULL`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM events WHERE type = 'termination_notice'`))

	heir := g.heir(replica.Termination, "i-0", "i-1")
	_, err := g.ChangeRoles(t.Context(), change(g.set(), heir, roles.ByTermination, roles.Leave))
	require.NoError(t, err)
	got, err := desk.Arrive(t.Context(), "k1", notice)
	require.NoError(t, err)
	require.True(t, got.Decided())
	require.False(t, got.Primary)
	require.Equal(t, "i-1", got.Outcome.NewPrimary)
	require.True(t, got.Delivered)
}

func TestArriveWithoutADeadline(t *testing.T) {
	t.Parallel()

	g := guard(t)
	desk := &postgres.Notices{DB: g.db}
	for kind, lead := range map[interruption.Kind]time.Duration{interruption.Termination: interruption.Lead, interruption.Rebalance: replica.RebalanceHold} {
		got, err := desk.Arrive(t.Context(), "", interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: kind})
		require.NoError(t, err)
		require.InDelta(t, lead.Seconds(), time.Until(got.Outcome.Deadline).Seconds(), 60)
	}
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM agents WHERE last_rebalance_at IS NOT NULL`))
}

func TestArriveOfStrangers(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k2", "b1", "i-b")
	desk := &postgres.Notices{DB: g.db}
	for _, instance := range []string{"i-unheard-of", "i-b"} {
		got, err := desk.Arrive(t.Context(), "k1", interruption.Notice{AgentID: "a1", InstanceID: instance, Kind: interruption.Termination})
		require.NoError(t, err, "acknowledged")
		require.False(t, got.Known || got.Primary || got.Decided())
	}
	require.Zero(t, one[int](g, `SELECT count(*) FROM notices`))
	for _, stranger := range []interruption.Notice{{AgentID: "b1", InstanceID: "i-b", Kind: interruption.Termination}, {AgentID: "a9", InstanceID: "i-0", Kind: interruption.Termination}} {
		_, err := desk.Arrive(t.Context(), "k1", stranger)
		require.Equal(t, agent.NotFound, fault.CodeOf(err))
	}
}

func TestRecordAndDecideNotice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	desk := &postgres.Notices{DB: g.db}
	notice := interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Rebalance}
	_, err := desk.Arrive(t.Context(), "k1", notice)
	require.NoError(t, err)
	waiting, err := desk.Undelivered(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.Equal(t, lines("a1", "i-0", interruption.Rebalance, "http"), lines(waiting[0].AgentID, waiting[0].InstanceID, waiting[0].Kind, waiting[0].Door))
	waiting, err = desk.Undelivered(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, waiting, "it is too fresh")

	for range 2 {
		set, err := g.RecordNotice(t.Context(), notice)
		require.NoError(t, err)
		_, wants := set.WantsEmergency()
		require.True(t, wants)
	}
	waiting, err = desk.Undelivered(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, waiting, "a Guardian has it")
	for _, result := range []interruption.Result{interruption.StoodDown, interruption.Lost} {
		set, err := g.DecideNotice(t.Context(), activities.Decision{Notice: notice, Result: result})
		require.NoError(t, err)
		o, _ := set.Outcome("i-0", interruption.Rebalance)
		require.Equal(t, interruption.StoodDown, o.Result, "what was decided stays")
	}
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM interruptions`))
	require.Equal(t, 1, one[int](g, `SELECT arrivals FROM notices`), "a Guardian is no arrival")
	require.Zero(t, one[int](g, `SELECT count(*) FROM notifications`))
}

func TestUnattended(t *testing.T) {
	t.Parallel()

	g := guard(t)
	desk := &postgres.Notices{DB: g.db}
	unattended := func() []string {
		got, err := desk.Unattended(t.Context(), time.Minute, 10)
		require.NoError(t, err)
		again, err := desk.Unattended(t.Context(), time.Minute, 10)
		require.NoError(t, err)
		require.Empty(t, again, "who asks first takes them on")
		g.exec(`UPDATE agents SET woken_at = now() - interval '2 minutes'`)
		return got
	}
	require.Empty(t, unattended())
	r := g.open(replica.Rebalance, "i-0")
	require.Empty(t, unattended(), "just decided")
	g.exec(`UPDATE replicas SET created_at = now() - interval '2 minutes'`)
	require.Equal(t, []string{"a1"}, unattended(), "decided on and not begun")
	g.exec(`UPDATE replicas SET launcher = 'agent'`)
	require.Equal(t, []string{"a1"}, unattended(), "nobody waits for what the agent launches")
	g.begun()
	require.Empty(t, unattended(), "the agent takes its time")
	g.exec(`UPDATE replicas SET launcher = 'control-plane'`)
	g.exec(`UPDATE replicas SET not_before = now() + interval '2 minutes'`)
	require.Empty(t, unattended(), "it is to wait")
	g.advance(r.ID, replica.Ready, "i-1")
	g.exec(`UPDATE replicas SET hold_until = now() - interval '2 minutes'`)
	require.Equal(t, []string{"a1"}, unattended(), "held for too long")
	g.advance(r.ID, replica.Retired, "")
	_, err := g.RecordNotice(t.Context(), interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Termination, Deadline: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.Equal(t, []string{"a1"}, unattended(), "a notice without an end")
	g.exec(`UPDATE notices SET result = 'lost', delivered_at = now() - interval '2 minutes'`)
	require.Equal(t, []string{"a1"}, unattended(), "lost, and nothing is on its way")
	r = g.open(replica.Termination, "i-0")
	require.Empty(t, unattended(), "an heir is")
	g.advance(r.ID, replica.Failed, "")
	g.exec(`UPDATE notices SET kind = 'rebalance-recommendation', result = 'stood_down'`)
	require.Empty(t, unattended())
	g.exec(`UPDATE agents SET keeping = 'manual'`)
	require.Equal(t, []string{"a1"}, unattended(), "a standby is missing")
}
