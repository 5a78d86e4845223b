package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/pg"
)

const (
	poolB = "t3.medium.us-east-1b"
	poolC = "t3.medium.us-east-1c"
)

// asker is an agent a1 in a bazaar, whose client wants to be asked.
type asker struct {
	*guarded

	w      *guardians
	d      *activities.Decisions
	store  *decisions.Approvals
	period time.Time
}

func asks(t *testing.T, policies map[approval.Kind]approval.Policy) *asker {
	t.Helper()
	g := guard(t)
	g.agent("k2", "b1", "i-b")
	g.bazaar()
	a := &asker{guarded: g, w: &guardians{}, store: &decisions.Approvals{DB: g.db}, period: someFive}
	a.d = g.decider(a.w)
	a.d.Approvals = a.store
	a.rules(approval.Rules{Policies: policies, AnswerMinutes: 60})
	g.exec(`UPDATE agents SET keeping = 'manual' WHERE id = 'b1'`)
	return a
}

func (a *asker) rules(r approval.Rules) {
	a.t.Helper()
	require.NoError(a.t, (&decisions.MoveRules{DB: a.db}).SetRules(a.t.Context(), "k1", r, "operator:ada"))
}

// run is one run of fleet-decisions, five minutes after the one before.
func (a *asker) run() map[string]int64 {
	a.t.Helper()
	a.period = a.period.Add(5 * time.Minute)
	return a.decideFleet(a.d, a.period)
}

func (a *asker) only() decisions.ApprovalView {
	a.t.Helper()
	all, err := a.store.List(a.t.Context(), "k1", "", pg.Page{})
	require.NoError(a.t, err)
	require.NotEmpty(a.t, all)
	return all[0]
}

func (a *asker) answer(id string, approve bool) (string, error) {
	a.t.Helper()
	_, note, err := a.store.Answer(a.t.Context(), decisions.Answer{ID: id, ClientID: "k1", Approve: approve, By: "client:ann"})
	return note, err
}

func (a *asker) states() string {
	return a.text(`SELECT coalesce(string_agg(state, ' ' ORDER BY asked_at), '') FROM move_approvals`)
}

func TestAMoveWaitsForItsApprovalAndIsMadeByIt(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	require.Equal(t, int64(1), a.run()["held: switch.awaits_approval"])
	q := a.only()
	require.Equal(t, approval.Pending, q.State)
	require.Equal(t, poolC, q.PoolID)
	require.Equal(t, "i-0", q.InstanceID)
	require.Equal(t, "fleet-decisions", q.AskedBy)
	require.Equal(t, q.ID, a.text(`SELECT approval_id FROM notifications WHERE approval_id <> ''`), "its notification has a link")
	for range 2 {
		require.Equal(t, int64(1), a.run()["held: switch.awaits_approval"])
	}
	require.Equal(t, "pending", a.states(), "a question is asked once")
	require.Equal(t, "2", a.text(`SELECT count(*)::text FROM decisions`), "one that waits is counted on its row")
	require.Empty(t, a.w.asked)
	in, err := (&decisions.Decisions{DB: a.db}).Input(t.Context(), "", "a1")
	require.NoError(t, err)
	said := strings.Join(engine.Explain(in, engine.Decide(t.Context(), engine.Rules{}, in)), "\n")
	require.Contains(t, said, "waits for approval ("+q.ID+")")

	note, err := a.answer(q.ID, true)
	require.NoError(t, err)
	require.Empty(t, note)
	note, err = a.answer(q.ID, true)
	require.NoError(t, err, "approving twice is approving once")
	require.Empty(t, note)
	require.Equal(t, "1", a.text(`SELECT count(*)::text FROM events WHERE type = 'move_approved'`))
	_, err = a.answer(q.ID, false)
	require.Equal(t, approval.AlreadyAnswered, fault.CodeOf(err))
	require.ErrorContains(t, err, "approved by client:ann")

	require.Equal(t, int64(1), a.run()["moved"])
	require.Len(t, a.w.asked, 1)
	require.Equal(t, poolC, a.w.asked[0].Target.PoolID)
	require.Equal(t, a.w.asked[0].CommandID, a.only().CommandID)
	require.Equal(t, "used", a.states())
	_, err = a.answer(q.ID, true)
	require.NoError(t, err)
	_, err = a.answer(q.ID, false)
	require.Equal(t, approval.AlreadyAnswered, fault.CodeOf(err), "it has been made")
}

func TestARejectedMoveIsNotMadeAndNotAskedAboutForADay(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	_, err := a.answer(a.only().ID, false)
	require.NoError(t, err)
	require.Equal(t, int64(1), a.run()["held: switch.rejected"])
	require.Equal(t, "rejected", a.states())
	a.exec(`UPDATE move_approvals SET answered_at = now() - interval '25 hours', expires_at = now() - interval '25 hours'`)
	require.Equal(t, int64(1), a.run()["held: switch.awaits_approval"])
	require.Equal(t, "rejected pending", a.states())
}

func TestAQuestionWithoutAnAnswerLapsesToStay(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	q := a.only()
	a.exec(`UPDATE move_approvals SET expires_at = now() - interval '1 second'`)
	require.Equal(t, approval.IsLapsed, a.only().State, "before a run has closed it")
	for range 2 {
		_, err := a.answer(q.ID, true)
		require.Equal(t, approval.Lapsed, fault.CodeOf(err))
	}
	require.Equal(t, "lapsed", a.states())
	require.Equal(t, int64(1), a.run()["held: switch.rejected"], "the agent stays, and is asked about again a day later")
	require.Empty(t, a.w.asked)

	a.exec(`UPDATE move_approvals SET state = 'pending'`)
	a.run()
	a.run()
	require.Equal(t, "lapsed", a.states())
	require.Equal(t, "1", a.text(`SELECT count(*)::text FROM events WHERE type = 'move_approval_ended'`))
}

func TestAnApprovalThatIsNotUsedInTimeLapses(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	q := a.only()
	_, err := a.answer(q.ID, true)
	require.NoError(t, err)
	a.exec(`UPDATE move_approvals SET expires_at = now() - interval '1 second'`)
	_, err = a.answer(q.ID, true)
	require.Equal(t, approval.Lapsed, fault.CodeOf(err))
	require.Equal(t, int64(1), a.run()["held: switch.awaits_approval"], "a new question, and no move")
	require.Empty(t, a.w.asked)
}

// TestAnAnswerAfterTheWorldHasChanged: what was asked about is no more.
func TestAnAnswerAfterTheWorldHasChanged(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		name, change string
		want         fault.Code
		state        string
	}{
		{"the agent was removed", `UPDATE agents SET status = 'deleted' WHERE id = 'a1'`, approval.Outdated, "outdated"},
		{
			"the instance was replaced", `UPDATE instances SET role = 'retired' WHERE id = 'i-0';
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode)
			VALUES ('i-9', 'k1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'spot')`,
			approval.Outdated, "outdated",
		},
		{"the pool is gone", `UPDATE pools SET is_active = false WHERE id = '` + poolC + `'`, approval.Outdated, "outdated"},
		{
			"the pool is blocked", `INSERT INTO pool_blocks (pool_id, subject, by_operator, until, reason, created_by)
			VALUES ('` + poolC + `', '', true, now() + interval '1 hour', 'AWS', 'operator:ada')`,
			switching.PoolBlocked, "pending",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
			a.run()
			q := a.only()
			a.exec(c.change)
			_, err := a.answer(q.ID, true)
			require.Equal(t, c.want, fault.CodeOf(err), "%v", err)
			require.Equal(t, c.state, a.states())
			a.run()
			require.Empty(t, a.w.asked)
		})
	}
}

func TestAnApprovedMoveYieldsToAFailover(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	_, err := a.answer(a.only().ID, true)
	require.NoError(t, err)
	a.exec(`UPDATE instances SET role = 'retired' WHERE id = 'i-0';
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, installed_at,
			primary_since)
		VALUES ('i-9', 'k1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot',
			now() - interval '9 days', now() - interval '9 days')`)
	require.Equal(t, int64(1), a.run()["held: switch.awaits_approval"], "the new instance is another question")
	require.Equal(t, "outdated pending", a.states())
	require.Empty(t, a.w.asked)
}

// TestAnApprovedMoveIsMadeAlthoughAnotherIsBetterNow: while it is better than staying.
func TestAnApprovedMoveIsMadeAlthoughAnotherIsBetterNow(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	q := a.only()
	a.exec(`UPDATE pool_prices SET price = 0.0100, observed_at = now() WHERE pool_id = $1`, poolB)
	a.exec(`UPDATE price_buckets SET price = 0.0100 WHERE pool_id = $1`, poolB)
	a.run()
	require.Equal(t, "pending", a.states(), "one question at a time")
	note, err := a.answer(q.ID, true)
	require.NoError(t, err)
	require.Contains(t, note, "decided otherwise")
	require.Equal(t, int64(1), a.run()["moved"])
	require.Equal(t, poolC, a.w.asked[0].Target.PoolID, "what was approved")
}

func TestAnApprovedMoveThatIsNotWorthItIsNotMade(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	_, err := a.answer(a.only().ID, true)
	require.NoError(t, err)
	a.exec(`UPDATE pool_prices SET price = 0.0400, observed_at = now() WHERE pool_id = $1`, poolC)
	a.exec(`UPDATE price_buckets SET price = 0.0400 WHERE pool_id = $1`, poolC)
	require.Equal(t, int64(1), a.run()["held: switch.awaits_approval"], "the other pool was not approved")
	require.Equal(t, "approved", a.states())
	require.Empty(t, a.w.asked)
}

func TestTwoAnswersAtOnceAreOne(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	q := a.only()
	var all errgroup.Group
	results := make([]error, 20)
	for i := range results {
		all.Go(func() error {
			_, _, results[i] = a.store.Answer(t.Context(), decisions.Answer{ID: q.ID, Approve: i%2 == 0, By: fmt.Sprint("person ", i)})
			return nil
		})
	}
	require.NoError(t, all.Wait())
	approved := a.only().State == approval.Approved
	for i, err := range results {
		if (i%2 == 0) == approved {
			require.NoError(t, err)
		} else {
			require.Equal(t, approval.AlreadyAnswered, fault.CodeOf(err))
		}
	}
	require.Equal(t, "1", a.text(`SELECT count(*)::text FROM events WHERE type IN ('move_approved', 'move_rejected')`))
}

func TestQuestionsOfOthersAreNotFound(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	q := a.only()
	for _, id := range []string{q.ID, "none", "", "'; DROP TABLE move_approvals"} {
		_, _, err := a.store.Answer(t.Context(), decisions.Answer{ID: id, ClientID: "k2", Approve: true, By: "client:Beta"})
		require.Equal(t, approval.NotFound, fault.CodeOf(err), id)
		_, err = a.store.Get(t.Context(), "k2", id)
		require.Equal(t, approval.NotFound, fault.CodeOf(err), id)
	}
	theirs, err := a.store.List(t.Context(), "k2", "", pg.Page{})
	require.NoError(t, err)
	require.Empty(t, theirs)
	_, err = a.store.GetLinked(t.Context(), q.ID, "none")
	require.Equal(t, approval.BadLink, fault.CodeOf(err))
	a.exec(`INSERT INTO notification_sinks (id, client_id, kind, url, secret_sealed, min_severity)
		VALUES ('s2', 'k2', 'webhook', 'https://hooks.example/', 'x', 'error')`)
	_, err = a.store.GetLinked(t.Context(), q.ID, "s2")
	require.Equal(t, approval.NotFound, fault.CodeOf(err), "a webhook of another client")
	require.Equal(t, "pending", a.states())
}

func TestMovesThatAreNeverAllowedAndThoseThatWaitForAWindow(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Never})
	require.Equal(t, int64(1), a.run()["held: switch.not_allowed"])
	from := time.Now().UTC().Add(6 * time.Hour)
	closed := approval.Window{Cron: fmt.Sprintf("%d %d * * *", from.Minute(), from.Hour()), Minutes: 60}
	a.rules(approval.Rules{AnswerMinutes: 60, Windows: []approval.Window{closed}})
	require.Equal(t, int64(1), a.run()["held: switch.outside_window"])
	in, err := (&decisions.Decisions{DB: a.db}).Input(t.Context(), "", "a1")
	require.NoError(t, err)
	said := strings.Join(engine.Explain(in, engine.Decide(t.Context(), engine.Rules{}, in)), "\n")
	require.Contains(t, said, "the next one opens at "+from.Format("2006-01-02 15:04")+" UTC")
	a.rules(approval.Rules{AnswerMinutes: 60, Windows: []approval.Window{closed, {Cron: "* * * * *", Minutes: 15}}})
	require.Equal(t, int64(1), a.run()["moved"])
	require.Empty(t, a.states(), "nothing was asked")
}

// TestAProgramsMoveIsMadeByItsApproval: the order is judged where it is made, so that a policy
// that changed since the decision counts.
func TestAProgramsMoveIsMadeByItsApproval(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.Requested: approval.Ask, approval.ToSpot: approval.Never})
	request := switching.SwitchRequest{
		AgentID: "a1", Target: switching.Target{Mode: agent.Spot, PoolID: poolB}, Voluntary: true, Kind: approval.Requested,
		By: "client:Acme", Reason: "our own model",
	}
	c := &postgres.Commands{DB: a.db}
	for range 2 {
		_, err := c.Order(t.Context(), request)
		require.Equal(t, approval.Awaiting, fault.CodeOf(err))
	}
	require.Equal(t, "pending", a.states())
	require.Equal(t, "0", a.text(`SELECT count(*)::text FROM commands`))
	_, err := a.answer(a.only().ID, true)
	require.NoError(t, err)
	a.run()
	require.Len(t, a.w.asked, 1)
	require.Equal(t, poolB, a.w.asked[0].Target.PoolID)
	a.run()
	require.Len(t, a.w.asked, 1, "an approval is used once")
	require.Equal(t, "used", a.states())
}

// TestWhatIsNotVoluntaryAsksNoOne: a switch that a person forces, and AWS's deadline.
func TestWhatIsNotVoluntaryAsksNoOne(t *testing.T) {
	t.Parallel()

	never := map[approval.Kind]approval.Policy{}
	for _, k := range approval.Kinds() {
		never[k] = approval.Never
	}
	a := asks(t, never)
	a.rules(approval.Rules{
		Policies: never, AnswerMinutes: 60, Windows: []approval.Window{{Cron: "0 0 1 1 *", Minutes: 15}},
	})
	_, err := (&postgres.Commands{DB: a.db}).Order(t.Context(), switching.SwitchRequest{
		AgentID: "a1", Target: switching.Target{Mode: agent.OnDemand}, By: "ann", Priority: switching.PriorityManual,
	})
	require.NoError(t, err)
	require.Empty(t, a.states())
}

func TestQuestionsEndWhenTheyAreNoLongerAsked(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.run()
	q := a.only()
	a.rules(approval.Rules{AnswerMinutes: 60})
	require.Equal(t, "outdated", a.states())
	_, err := a.answer(q.ID, true)
	require.Equal(t, approval.Outdated, fault.CodeOf(err))
	require.Equal(t, int64(1), a.run()["moved"], "it is automatic now")
	rules, err := (&decisions.MoveRules{DB: a.db}).Rules(t.Context(), "k1")
	require.NoError(t, err)
	require.Equal(t, approval.Auto, rules.PolicyOf(approval.ToSpot))
	require.Equal(t, 60, rules.AnswerMinutes)
	rules, err = (&decisions.MoveRules{DB: a.db}).Rules(t.Context(), "k2")
	require.NoError(t, err)
	require.Equal(t, approval.DefaultAnswer, rules.AnswerMinutes)
}

func TestListsOfQuestionsHavePages(t *testing.T) {
	t.Parallel()

	a := asks(t, map[approval.Kind]approval.Policy{approval.ToSpot: approval.Ask})
	a.exec(`INSERT INTO move_approvals (id, client_id, agent_id, instance_id, kind, mode, asked_by, state, asked_at,
			expires_at)
		SELECT 'q' || n, 'k1', 'a1', 'i-0', 'to_spot', 'spot', 'x', 'lapsed', now() - n / 2 * interval '1 minute', now()
		FROM generate_series(1, 7) n`)
	var seen []string
	page := pg.Page{Limit: 2}
	for range 4 {
		found, err := a.store.List(t.Context(), "k1", "lapsed", page)
		require.NoError(t, err)
		for _, x := range found[:min(2, len(found))] {
			seen = append(seen, x.ID)
			page.After = pg.Cursor{At: x.AskedAt, ID: x.ID}
		}
	}
	require.Equal(t, []string{"q1", "q3", "q2", "q5", "q4", "q7", "q6"}, seen)
}
