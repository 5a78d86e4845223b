package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/awsevents"
)

func groupEnds(instance, token string) string {
	return strings.Replace(event("EC2 Instance-terminate Lifecycle Action", own, fmt.Sprintf(
		`{"LifecycleActionToken":%q,"AutoScalingGroupName":"web","LifecycleHookName":"spotkeeper",
		"EC2InstanceId":%q,"LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING"}`, token, instance), time.Now()),
		"aws.ec2", "aws.autoscaling", 1)
}

// scalingGroups record the calls that they get.
type scalingGroups struct {
	calls   []string
	over    bool
	failing error
}

func (g *scalingGroups) Complete(_ context.Context, a intake.LifecycleAction, abandon bool) (bool, error) {
	if g.failing == nil {
		g.calls = append(g.calls, fmt.Sprintf("%s of %s/%s: abandon %t", a.Token, a.Group, a.Name, abandon))
	}
	return !g.over, g.failing
}

func (g *scalingGroups) KeepWaiting(_ context.Context, a intake.LifecycleAction) (bool, error) {
	if g.failing == nil {
		g.calls = append(g.calls, a.Token+" waits")
	}
	return !g.over, g.failing
}

func (w *world) complete(g *scalingGroups, later time.Duration) {
	w.t.Helper()
	w.exec(`UPDATE lifecycle_actions SET try_at = clock_timestamp() WHERE try_at IS NOT NULL`)
	l := &intake.Lifecycle{
		Store:  &awsevents.LifecycleActions{DB: w.db},
		Groups: g,
		Log:    slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Now:    func() time.Time { return time.Now().Add(later) },
	}
	require.NoError(w.t, l.Round(w.t.Context()))
}

// TestGroupGoesOnWhenTheAgentHasLeft: with a standby the agent fails over and the group goes
// on, once; a call that failed is made again, and a doubled event changes nothing.
func TestGroupGoesOnWhenTheAgentHasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := &scalingGroups{failing: errors.New("away")}
	w.drain(newMemory(groupEnds("i-0", "t1"), groupEnds("i-0", "t1")))
	require.Equal(t, "i-1", w.read(`SELECT id FROM instances WHERE agent_id = 'a1' AND role = 'primary'`))
	w.complete(g, 0)
	require.Empty(t, w.read(`SELECT result FROM lifecycle_actions`))
	g.failing = nil
	w.complete(g, 0)
	w.complete(g, 0)
	require.Equal(t, []string{"t1 of web/spotkeeper: abandon false"}, g.calls)
	require.Equal(t, "continue", w.read(`SELECT result FROM lifecycle_actions`))
	require.Equal(t, "1", w.read(`SELECT count(*)::text FROM role_changes`))
}

// TestGroupWaits: while the agent has no successor the group waits; when it is lost, or an
// hour has gone, the group gives the end of the instance up.
func TestGroupWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after   string
		later   time.Duration
		over    bool
		failing error
		calls   []string
		verdict string
	}{
		"undecided": {calls: []string{"t1 waits"}},
		"lost": {
			after:   `UPDATE notices SET result = 'lost', decided_at = now()`,
			calls:   []string{"t1 of web/spotkeeper: abandon true"},
			verdict: "abandon",
		},
		"too long":          {later: 2 * time.Hour, calls: []string{"t1 of web/spotkeeper: abandon true"}, verdict: "abandon"},
		"not ours at EC2":   {failing: adoption.NotOurs.New("no tags"), verdict: "not_ours"},
		"it went by itself": {over: true, calls: []string{"t1 waits"}, verdict: "over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.exec(`UPDATE replicas SET state = 'retired' WHERE id = 'r1'`)
			w.drain(newMemory(groupEnds("i-0", "t1")))
			if c.after != "" {
				w.exec(c.after)
			}
			g := &scalingGroups{over: c.over, failing: c.failing}
			w.complete(g, c.later)
			require.Equal(t, c.calls, g.calls)
			require.Equal(t, c.verdict, w.read(`SELECT result FROM lifecycle_actions`))
		})
	}
}

// TestGroupOfAnUnprovenInstance: nothing is asked of a group for an instance that only an
// agent's report connects with the client.
func TestGroupOfAnUnprovenInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`UPDATE instances SET proof = 'unproven', adopted_at = NULL WHERE id = 'i-0'`)
	w.drain(newMemory(groupEnds("i-0", "t1")))
	g := &scalingGroups{}
	w.complete(g, 0)
	w.complete(g, 2*time.Hour)
	require.Empty(t, g.calls)
	w.exec(`UPDATE instances SET proof = 'adopted', adopted_at = now() WHERE id = 'i-0'`)
	w.complete(g, 2*time.Hour)
	require.Len(t, g.calls, 1)
}

// TestGroupOfAStranger: the action of an instance that is no agent's is left to its owner.
func TestGroupOfAStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.drain(newMemory(groupEnds("i-9", "t1"), groupEnds("i-2", "t2")))
	require.Equal(t, "0", w.read(`SELECT count(*)::text FROM lifecycle_actions`))
	require.Equal(t, map[string]int{"asg unknown": 1, "asg foreign": 1}, w.counted())
}
