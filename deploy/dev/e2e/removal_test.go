package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
	tags "spotkeeper/internal/fleet"
)

// TestRemoval deletes agents and clients that live on what we launched for them,
// also while the worker is killed in between. Nothing of them is left: no
// instance, no workflow, no row but the one event that says so. Another tenant
// does not notice.
func TestRemoval(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	ctx := deadline(t, 15*time.Minute)
	r := &remover{t: t, temporal: s.Dial(ctx, t), books: openBooks(t, s)}
	bystander := r.household(ctx, s, "bystander")
	before := r.possessions(ctx, bystander)
	require.Len(t, before, 6)

	for name, killed := range map[string]bool{"in peace": false, "while the worker is killed": true} {
		h := r.household(ctx, s, name)
		m := h.members[0]
		r.during(ctx, h.fleet, killed, func() (bool, error) {
			return true, m.insist(ctx, http.MethodDelete, "/api/client/agents/"+m.id, nil, nil)
		}, `SELECT id FROM agents WHERE id = $1 AND status = 'deleted'`, m.id)
		r.gone(ctx, h, m.id)
		require.Equal(t, []string{"client:" + name + " deleted"},
			r.list(
				ctx,
				`
					SELECT actor || ' ' || (metadata->'after'->>'status')
					FROM events
					WHERE type = 'agent_deleted' AND agent_id = $1`,
				m.id,
			))
		require.Len(t, r.possessions(ctx, h), len(before)-2, "the other agents live on")

		method, path, status := http.MethodDelete, "/api/admin/clients/"+h.who.ID, 0
		var body any
		if killed { // by the new route, which requires a confirmation
			method, path, body = http.MethodPost, path+"/remove", map[string]any{"confirm": name}
			var refusal struct{ Code string }
			status, err := s.Call(ctx, method, path, "", map[string]any{"confirm": "another"}, &refusal)
			require.NoError(t, err)
			require.Equal(t, "400 clients.not_confirmed", fmt.Sprint(status, " ", refusal.Code))
			require.Len(t, r.possessions(ctx, h), len(before)-2)
		}
		r.during(ctx, h.fleet, killed, func() (bool, error) {
			var answer string
			var err error
			if status, err = s.Call(ctx, method, path, "", body, &answer); err == nil && status >= 500 && killed {
				err = fmt.Errorf("%d %s", status, answer)
			}
			return err == nil, err
		}, `SELECT id FROM agents WHERE client_id = $1 AND status = 'deleted' AND id <> $2`, h.who.ID, m.id)
		require.True(t, status == 200 || killed && status == 404, "%d", status)
		for _, m := range h.members {
			r.gone(ctx, h, m.id)
		}
		require.Empty(t, r.possessions(ctx, h))
		r.forgotten(ctx, h)
	}
	require.Equal(t, before, r.possessions(ctx, bystander))
}

// remover looks at what is left.
type remover struct {
	t        *testing.T
	temporal client.Client
	*books
}

func (r *remover) list(ctx context.Context, sql string, args ...any) []string {
	r.t.Helper()
	found, err := r.books.list(ctx, sql, args...)
	require.NoError(r.t, err)
	return found
}

// household is a client whose agents live on what we launched.
type household struct {
	*fleet
	name    string
	members []*member
}

// household makes one: an agent with a standby, one that left an instance behind
// which it keeps, and one with an emergency replica that is held.
func (r *remover) household(ctx context.Context, s *devtest.Stack, name string) *household {
	t := r.t
	who, err := s.NewTenant(ctx, name, nil)
	require.NoError(t, err)
	h := &household{fleet: newFleet(t, s, who), name: name}
	for i := range 3 {
		m, at := mustJoin(t, h.fleet, fmt.Sprintf("web-%d", i))
		require.NoError(t, m.reportPrices(ctx, at))
		_, err := m.notice(ctx, at, lead)
		require.NoError(t, err)
		after, err := m.awaitMove(ctx, at)
		require.NoError(t, err)
		require.NoError(t, m.register(ctx, after.Primary.ID, after.Primary.AZ))
		h.members = append(h.members, m)
	}
	_, err = h.members[0].standby(ctx, "")
	require.NoError(t, err)
	keeper := h.members[1]
	require.NoError(t, keeper.configure(ctx, map[string]any{"autoTerminateEnabled": false}))
	st, err := keeper.state(ctx)
	require.NoError(t, err)
	require.NoError(t, keeper.forceSwitch(ctx, st.Primary.ID, st.Primary.AZ))
	_, err = keeper.awaitMove(ctx, st.Primary.ID)
	require.NoError(t, err)
	held := h.members[2]
	st, err = held.state(ctx)
	require.NoError(t, err)
	require.NoError(t, held.emergency(ctx, "rebalance-recommendation", st.Primary.ID))
	_, _, err = held.awaitReady(ctx)
	require.NoError(t, err)
	return h
}

// possessions are the instances that live in the cloud and that we launched.
func (r *remover) possessions(ctx context.Context, h *household) map[string]string {
	r.t.Helper()
	cloud, err := h.sim.State(ctx)
	require.NoError(r.t, err)
	out := map[string]string{}
	for _, i := range cloud.Instances {
		if i.Tags[tags.TagClient] == h.who.ID && (i.State == "pending" || i.State == "running") &&
			i.InterruptionTime.IsZero() {
			out[i.InstanceID] = i.Tags[tags.TagAgent]
		}
	}
	return out
}

// during does something until it is done. With killed, the cloud does not end
// instances until the worker was killed, which is when the deed has begun.
func (r *remover) during(
	ctx context.Context,
	f *fleet,
	killed bool,
	do func() (bool, error),
	begun string,
	args ...any,
) {
	t := r.t
	if !killed {
		require.NoError(t, until(ctx, again, do))
		return
	}
	require.NoError(t, f.sim.AddFault(ctx, simclient.Fault{
		Action: "TerminateInstances",
		Code:   "ServiceUnavailable",
		Times:  -1,
	}))
	ended := make(chan error, 1)
	go func() { ended <- until(ctx, again, do) }()
	require.NoError(t, until(ctx, again, func() (bool, error) {
		found, err := r.books.list(ctx, begun, args...)
		return len(found) > 0, err
	}))
	require.NoError(t, f.Kill(devtest.Worker))
	require.NoError(t, f.sim.ClearFaults(ctx))
	require.NoError(t, f.Restart(ctx, devtest.Worker))
	require.NoError(t, <-ended)
}

// gone waits until nothing of an agent lives or works any more.
func (r *remover) gone(ctx context.Context, h *household, agentID string) {
	r.t.Helper()
	require.NoError(r.t, until(ctx, again, func() (bool, error) {
		for id, of := range r.possessions(ctx, h) {
			if of == agentID {
				return false, fmt.Errorf("%s of %s lives", id, of)
			}
		}
		left, err := r.temporal.ListWorkflow(ctx,
			&workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf(
				"AgentID = %q AND ExecutionStatus = 'Running'", agentID)})
		if err != nil {
			return false, err
		}
		for _, w := range left.GetExecutions() {
			return false, fmt.Errorf("%s runs", w.GetExecution().GetWorkflowId())
		}
		return true, nil
	}))
}

// forgotten requires that only one row names the client or an agent of it. Market prices
// that its agents reported and the audit are exempt: both are deleted by age.
func (r *remover) forgotten(ctx context.Context, h *household) {
	t := r.t
	ids := []string{h.who.ID}
	for _, m := range h.members {
		ids = append(ids, m.id)
	}
	columns := r.list(
		ctx,
		`
		SELECT c.table_name || '.' || c.column_name
		FROM information_schema.columns c
		JOIN information_schema.tables t
		USING (table_schema, table_name)
		WHERE t.table_schema = 'public'
			AND t.table_type = 'BASE TABLE'
			AND c.table_name NOT LIKE 'price_submissions%'
			AND c.table_name <> 'trail'
			AND (c.column_name IN ('client_id', 'agent_id')
			OR c.table_name IN ('clients', 'agents')
			AND c.column_name = 'id')
			ORDER BY 1`,
	)
	require.Greater(t, len(columns), 20, "%v", columns)
	for _, c := range columns {
		table, column, _ := strings.Cut(c, ".")
		require.Empty(t, r.list(ctx, `SELECT t::text FROM `+table+` t WHERE `+column+` = ANY ($1)`, ids), c)
	}
	require.Equal(t, []string{"client_deleted operator:local " + h.name},
		r.list(
			ctx,
			`
				SELECT type || ' ' || actor || ' ' || (metadata->'before'->>'name')
				FROM events
				WHERE metadata::text LIKE '%' || $1 || '%'`,
			h.who.ID,
		))
}
