package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/fleet"
)

// answering is an EC2 that answers questions about instances with an error.
type answering struct {
	*fakeFleet
	err error
}

func (f *answering) State(
	ctx context.Context,
	a activities.Account,
	region, id string,
) (*activities.CloudInstance, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.fakeFleet.State(ctx, a, region, id)
}

// leave makes i-9 an instance that a1 left: ten minutes ago, and silent since.
func (w *world) leave(launcher string) {
	w.t.Helper()
	w.exec(`UPDATE agents SET launcher = $1, terminate_wait_seconds = 300 WHERE id = 'a1'`, launcher)
	w.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, launched_by,
			terminate_by, proof, adopted_at,
			created_at, retiring_since, last_seen_at)
		VALUES ('i-9', 'k1', 'a1', 'retiring', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'agent',
			'agent', 'adopted', now(),
			now() - interval '1 day', now() - interval '10 minutes', now() - interval '9 minutes')`,
	)
}

func (w *world) health(f activities.Fleet) *activities.SilenceResult {
	w.t.Helper()
	got, err := (&activities.Agents{Store: silence(w), Fleet: f, Log: quiet}).MarkSilentAgents(w.t.Context(),
		activities.SilenceInput{})
	require.NoError(w.t, err)
	return got
}

// TestDepartedInstancesAreRetired: of an agent that launches for itself EC2 cannot
// be asked, so an old instance ends by what was reported, or by its silence.
func TestDepartedInstancesAreRetired(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		but  string // how it differs from one that left ten minutes ago and is silent
		role string
	}{
		"silent": {``, "retired"},
		"heard of a moment ago": {`UPDATE instances SET last_seen_at = now() WHERE id = 'i-9'`,
			"retiring"},
		"never heard of": {`UPDATE instances SET last_seen_at = NULL WHERE id = 'i-9'`,
			"retired"},
		"retiring since a moment": {`UPDATE instances SET retiring_since = now() WHERE id = 'i-9'`,
			"retiring"},
		"its agent still waits before it ends it": {`UPDATE agents SET terminate_wait_seconds = 3600`, "retiring"},
		"taken by AWS, which waits for no setting": {`UPDATE agents SET terminate_wait_seconds = 3600;
			UPDATE instances SET terminate_by = 'aws' WHERE id = 'i-9'`, "retired"},
		"before the deadline of its notice": {`UPDATE instances SET terminate_by = 'aws' WHERE id = 'i-9';
			INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
			VALUES ('k1', 'a1', 'i-9', 'termination-notice', now() + interval '1 minute')`, "retiring"},
		"after the deadline of its notice": {`UPDATE instances SET terminate_by = 'aws' WHERE id = 'i-9';
			INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
			VALUES ('k1', 'a1', 'i-9', 'termination-notice', now() - interval '1 minute')`, "retired"},
		"ours to end":    {`UPDATE instances SET terminate_by = 'us' WHERE id = 'i-9'`, "retiring"},
		"left to itself": {`UPDATE instances SET terminate_by = 'nobody' WHERE id = 'i-9'`, "retired"},
		"a switch that was reported with its end": {
			`UPDATE instances SET retiring_since = now(), last_seen_at = now() WHERE id = 'i-9';
			INSERT INTO switches (id, client_id, agent_id, phase, old_id, timing)
			VALUES ('s1', 'k1', 'a1', 'done', 'i-9', '{"old_terminated_at": "2026-11-22T10:00:00Z"}')`, "retired"},
		"a switch that was reported without it": {`UPDATE instances SET last_seen_at = now() WHERE id = 'i-9';
			INSERT INTO switches (id, client_id, agent_id, phase, old_id, timing)
			VALUES ('s1', 'k1', 'a1', 'done', 'i-9', '{"initiated_at": "2026-11-22T10:00:00Z"}')`, "retiring"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.leave("agent")
			if c.but != "" {
				w.exec(c.but)
			}
			retired := map[string]int{"retired": 1, "retiring": 0}[c.role]
			asked := &answering{w.fleet, fleet.Unavailable.New("it is not ours to ask")}
			require.Equal(t, &activities.SilenceResult{Retired: retired}, w.health(asked))
			require.Equal(t, &activities.SilenceResult{}, w.health(asked), "once")
			require.Equal(t, c.role, one[string](w, `SELECT role FROM instances WHERE id = 'i-9'`))
			require.Equal(t, "primary", one[string](w, `SELECT role FROM instances WHERE id = 'i-0'`))
			require.Equal(t, retired, one[int](w, `SELECT count(*) FROM events WHERE type = 'instance_retired'`))
			require.Equal(t, retired == 1 && name != "left to itself",
				one[bool](w, `SELECT terminated_at IS NOT NULL FROM instances WHERE id = 'i-9'`))
		})
	}
}

// TestEC2sAnswerGoesBeforeSilence where the control plane may ask.
func TestEC2sAnswerGoesBeforeSilence(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		state string
		err   error
		want  activities.SilenceResult
	}{
		"it runs":         {activities.StateRunning, nil, activities.SilenceResult{}},
		"it is going":     {activities.StateShuttingDown, nil, activities.SilenceResult{}},
		"it has ended":    {activities.StateTerminated, nil, activities.SilenceResult{Retired: 1}},
		"it is not shown": {"", nil, activities.SilenceResult{Retired: 1}},
		"we may not ask": {activities.StateRunning, replica.Refused.New("no"),
			activities.SilenceResult{Retired: 1}},
		"EC2 does not answer": {activities.StateTerminated, fleet.Unavailable.New("away"),
			activities.SilenceResult{Failed: 1}},
		"EC2 has no time for us": {activities.StateTerminated, replica.Throttled.New("slow down"),
			activities.SilenceResult{Failed: 1}},
	} {
		for _, ours := range []string{
			`UPDATE agents SET launcher = 'control-plane'`,
			`UPDATE instances SET launched_by = 'control-plane' WHERE id = 'i-9'`,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.leave("agent")
				w.exec(ours)
				if c.state != "" {
					w.fleet.become("i-9", c.state, true)
				}
				require.Equal(t, &c.want, w.health(&answering{w.fleet, c.err}))
				role := map[int]string{0: "retiring", 1: "retired"}[c.want.Retired]
				require.Equal(t, role, one[string](w, `SELECT role FROM instances WHERE id = 'i-9'`))
			})
		}
	}
}
