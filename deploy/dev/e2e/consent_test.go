package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// TestNoEmergencyWaitsForAnApproval: a client allows no voluntary move, and no window is open. A
// notice without a standby, a notice with one, a primary that ends unannounced and a switch that a
// person forces lead to another instance all the same, and nothing is asked.
func TestNoEmergencyWaitsForAnApproval(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	f := newFleet(t, s, newTenant(t, s))
	b := openBooks(t, s)
	ctx := deadline(t, 5*time.Minute)
	status, err := s.Call(ctx, "PUT", "/api/client/"+f.who.ID+"/move-rules", f.who.Token, map[string]any{
		"policies": map[string]string{"to_spot": "never", "to_ondemand": "never", "requested": "ask", "maintenance": "never"},
		"windows":  []map[string]any{{"cron": "0 0 29 2 *", "minutes": 15}},
	}, nil)
	require.NoError(t, err)
	require.Equal(t, 200, status)

	bare, at := mustJoin(t, f, "without a standby")
	require.NoError(t, bare.lose(ctx, at, 2*time.Minute))

	guarded, at := mustJoin(t, f, "with a standby")
	standby, err := guarded.standby(ctx, "")
	require.NoError(t, err)
	require.NoError(t, guarded.lose(ctx, at, 2*time.Minute))
	now, err := guarded.state(ctx)
	require.NoError(t, err)
	require.Equal(t, standby.instance, now.Primary.ID)

	dead, at := mustJoin(t, f, "unannounced")
	_, err = dead.standby(ctx, "")
	require.NoError(t, err)
	_, err = f.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{at}})
	require.NoError(t, err)
	_, err = dead.awaitMove(ctx, at)
	require.NoError(t, err)

	forced, at := mustJoin(t, f, "forced")
	require.NoError(t, forced.forceSwitch(ctx, at, zones[0]))
	_, err = forced.awaitMove(ctx, at)
	require.NoError(t, err)

	// The rules hold: what a program asks for is a question.
	asked, _ := mustJoin(t, f, "asked for")
	_, err = b.pool.Exec(ctx, `UPDATE agents SET min_pool_duration_hours = 0 WHERE id = $1`, asked.id)
	require.NoError(t, err)
	r, is := errors.AsType[*refusal](asked.try(ctx, "POST", asked.path("/issue-switch-command"),
		map[string]any{"target_mode": "ondemand"}, nil))
	require.True(t, is)
	require.Equal(t, "switch.awaits_approval", r.Code, r.Text)
	var questions int
	require.NoError(t, b.pool.QueryRow(ctx, `SELECT count(*) FROM move_approvals`).Scan(&questions))
	require.Equal(t, 1, questions)
}
