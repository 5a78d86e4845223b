package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/agents"
)

// named is a replica of a1 on an instance that only its agent has named.
func (w *world) named(instanceID string) roles.Replica {
	w.t.Helper()
	r := w.replica(replica.Manual)
	w.advance(r.ID, replica.Ready, instanceID)
	return r
}

func (w *world) adopt(instanceID string) (*activities.AdoptResult, error) {
	steps := &activities.Adoptions{Store: &agents.Adoptions{DB: w.db}, Fleet: w.fleet, Log: quiet,
		OwnAccount: func(context.Context) (string, error) { return "000000000000", nil }}
	return steps.AdoptInstance(w.t.Context(), activities.AdoptInput{InstanceID: instanceID})
}

func (w *world) proof(instanceID string) string {
	w.t.Helper()
	return one[string](w, `SELECT proof FROM instances WHERE id = $1`, instanceID)
}

// TestAnInstanceIsAdopted: it runs in the client's account, so it gets our tags, its row
// the place that EC2 names, and its agent a review. A second time changes nothing.
func TestAnInstanceIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.named("i-9")
	require.Equal(t, "unproven", w.proof("i-9"))
	require.Equal(t, "running", one[string](w, `SELECT state FROM operations WHERE id = 'adoption/i-9'`),
		"its adoption is open")
	w.fleet.become("i-9", activities.StateRunning, true)
	seen := w.fleet.instances["i-9"]
	seen.AccountID, seen.PoolID, seen.Mode, seen.ImageID = "111111111111", "m5.large.us-east-1c", "ondemand", "ami-9"
	w.exec(`UPDATE agents SET review_at = NULL`)

	got, err := w.adopt("i-9")
	require.NoError(t, err)
	require.True(t, got.Proven)
	require.Equal(t, []string{"i-9"}, w.fleet.adopted)
	require.Equal(t, "adopted m5.large us-east-1c m5.large.us-east-1c ondemand",
		one[string](w,
			`SELECT concat_ws(' ', proof, instance_type, az, pool_id, mode) FROM instances WHERE id = 'i-9'`))
	require.True(t, one[bool](w, `SELECT review_at IS NOT NULL FROM agents WHERE id = 'a1'`))

	got, err = w.adopt("i-9")
	require.NoError(t, err)
	require.True(t, got.Over)
	require.True(t, got.Proven)
	require.Equal(t, 1, one[int](w, `SELECT count(*) FROM events WHERE type = 'instance_adopted'`))
}

// shareAccount puts another client into the account of k1.
const shareAccount = `
	INSERT INTO clients (id, name, email, token_hash, token_sealed, account_id)
	VALUES ('k2', 'B', 'b@x', '\x02', '\x02', '111111111111')`

// TestADocumentProvesWhoseAnInstanceIs in an account that clients share.
func TestADocumentProvesWhoseAnInstanceIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.named("i-9")
	w.fleet.become("i-9", activities.StateRunning, true)
	w.fleet.instances["i-9"].AccountID = "111111111111"
	w.exec(shareAccount)
	got, err := w.adopt("i-9")
	require.NoError(t, err)
	require.Equal(t, adoption.NoTenantMark, got.Cause)
	w.exec(`INSERT INTO join_documents (instance_id, pending_time, attempt_hash, client_id)
		VALUES ('i-9', now(), sha256(''), 'k1')`)
	got, err = w.adopt("i-9")
	require.NoError(t, err)
	require.True(t, got.Proven)
}

// TestWhatIsNotProvenIsLeft: nothing is tagged, the reason and the repair are kept, and
// the client is notified once for each cause.
func TestWhatIsNotProvenIsLeft(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		prepare func(w *world)
		want    adoption.Cause
	}{
		"in another account": {func(w *world) { w.fleet.instances["i-9"].AccountID = "999999999999" },
			adoption.OtherAccount},
		"of another client": {func(w *world) { w.fleet.instances["i-9"].Owner.ClientID = "k2" },
			adoption.OtherClient},
		"stopped": {func(w *world) { w.fleet.become("i-9", activities.StateStopped, false) },
			adoption.NotRunning},
		"no account":          {func(w *world) { w.exec(`UPDATE clients SET role_arn = ''`) }, adoption.ClientAlone},
		"the role is refused": {func(w *world) { w.fleet.refuse = replica.Refused.New("no") }, adoption.RoleRefused},
		"absent for long": {func(w *world) {
			w.fleet.unseen = true
			w.exec(`UPDATE instances SET installed_at = now() - interval '1 hour'`)
		}, adoption.NotFound},
		"in our account": {
			func(w *world) { w.exec(`UPDATE clients SET role_arn = '', account_id = '', own_account = true`) },
			adoption.NoTenantMark},
		"in a shared account": {func(w *world) { w.exec(shareAccount) }, adoption.NoTenantMark},
		"in our account, by a role": {func(w *world) {
			w.exec(`UPDATE clients SET role_arn = 'arn:aws:iam::000000000000:role/x', account_id = '000000000000'`)
			w.fleet.instances["i-9"].AccountID = "000000000000"
		}, adoption.NoTenantMark},
		"with another's document in a shared account": {func(w *world) {
			w.exec(shareAccount)
			w.exec(`INSERT INTO join_documents (instance_id, pending_time, attempt_hash, client_id)
				VALUES ('i-9', now(), sha256(''), 'k2')`)
		}, adoption.NoTenantMark},
		"in a region that is none": {
			func(w *world) { w.exec(`UPDATE instances SET region = 'attacker.example/' WHERE id = 'i-9'`) }, adoption.NotFound},
		"without a known place": {
			func(w *world) { w.exec(`UPDATE instances SET region = 'unknown' WHERE id = 'i-9'`) }, adoption.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.named("i-9")
			w.fleet.become("i-9", activities.StateRunning, true)
			w.fleet.instances["i-9"].AccountID = "111111111111"
			x.prepare(w)
			for range 2 {
				got, err := w.adopt("i-9")
				require.NoError(t, err)
				require.Equal(t, x.want, got.Cause)
			}
			require.Empty(t, w.fleet.adopted)
			require.Equal(t, "unproven "+string(x.want),
				one[string](w,
					`SELECT proof || ' ' || unproven_cause FROM instances WHERE id = 'i-9' AND unproven_repair <> ''`))
			require.Equal(t, 1, one[int](w, `SELECT count(*) FROM notifications WHERE dedup_key LIKE 'unproven:%'`))
		})
	}
}

// TestAnInstanceThatStartsIsWaitedFor: EC2 will say more in a moment.
func TestAnInstanceThatStartsIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.named("i-9")
	_, err := w.adopt("i-9")
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	w.fleet.become("i-9", activities.StatePending, false)
	_, err = w.adopt("i-9")
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	require.Zero(t, one[int](w, `SELECT count(*) FROM notifications WHERE dedup_key LIKE 'unproven:%'`))
}

// TestAStrangerIsForgotten: an instance that only an agent has named, and one whose tags
// are gone, are not ended. For us they are over, and the refusal is on record.
func TestAStrangerIsForgotten(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		prepare func(w *world) string
		want    fault.Code
		notices int
	}{
		"named by its agent": {func(w *world) string {
			w.named("i-9")
			w.fleet.become("i-9", activities.StateRunning, true)
			return "i-9"
		}, adoption.NotProven, 0},
		"launched, and its tags are gone": {func(w *world) string {
			_, id := w.launched(replica.Manual, "b")
			w.fleet.stranger = map[string]bool{id: true}
			return id
		}, adoption.NotOurs, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := x.prepare(w)
			for range 2 {
				err := w.instances.RetireInstance(t.Context(), activities.WatchInput{AgentID: "a1", InstanceID: id})
				require.Equal(t, x.want, fault.CodeOf(err))
			}
			require.Empty(t, w.fleet.ended)
			require.Equal(t, "retired nobody",
				one[string](w,
					`SELECT role || ' ' || terminate_by FROM instances WHERE id = $1 AND terminated_at IS NULL`, id))
			require.Equal(t, string(x.want),
				one[string](w, `SELECT metadata->>'code' FROM events WHERE type = 'termination_refused'`))
			require.Equal(t, x.notices,
				one[int](w, `SELECT count(*) FROM notifications WHERE dedup_key = 'termination-refused:' || $1`, id))
		})
	}
}

// TestAnUnprovenPrimaryIsNotCopied: neither from EC2 nor from what was noted.
func TestAnUnprovenPrimaryIsNotCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica(replica.Termination)
	w.exec(`INSERT INTO launch_templates (agent_id, instance_id, template) VALUES ('a1', 'i-0', '{}')`)
	w.exec(`UPDATE instances SET proof = 'unproven' WHERE id = 'i-0'`)
	_, err := w.launch(r, "b")
	require.Equal(t, adoption.NotProven, fault.CodeOf(err))
	require.Zero(t, w.fleet.launches)
	require.Zero(t, w.fleet.templates)
}
