package activities_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres"
)

func (w *world) noteTemplates() *activities.NoteTemplatesResult {
	w.t.Helper()
	steps := &activities.Templates{
		Store: &postgres.Templates{Launches: postgres.Launches{DB: w.db}},
		Fleet: w.fleet,
		Log:   quiet,
	}
	got, err := steps.NoteTemplates(w.t.Context())
	require.NoError(w.t, err)
	return got
}

// TestAPrimaryThatEndsRightAfterItsRegistration is replaced from what was noted,
// although the watch over primaries never came round.
func TestAPrimaryThatEndsRightAfterItsRegistration(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.exec(`UPDATE instances SET primary_since = now()`)
	require.Equal(t, &activities.NoteTemplatesResult{Templates: 1}, w.noteTemplates())
	require.Equal(t, &activities.NoteTemplatesResult{}, w.noteTemplates(), "read once per primary")

	w.fleet.gone = true
	w.fleet.become("i-0", activities.StateTerminated, false)
	w.exec(`UPDATE agents SET status = 'offline'`)
	w.exec(`UPDATE instances SET installed_at = now() - interval '3 minutes'`)
	d := &follower{}
	require.Equal(t, &activities.WatchPrimariesResult{Lost: 1}, w.watch(d))
	_, err := w.launch(w.replica(replica.Termination), "b")
	require.NoError(t, err)
}

// TestWhoseTemplateIsNotedAtOnce lists who is a new primary and who is not.
func TestWhoseTemplateIsNotedAtOnce(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		but   string
		noted int
	}{
		"a new primary":                 {`SELECT 1`, 1},
		"one that is ten minutes old":   {`UPDATE instances SET primary_since = now() - interval '11 minutes'`, 0},
		"one whose region is not known": {`UPDATE instances SET region = ''`, 0},
		"of a deleted agent":            {`UPDATE agents SET status = 'deleted'`, 0},
		"of an agent that launches":     {`UPDATE agents SET launcher = 'agent'`, 0},
		"no primary":                    {`UPDATE instances SET role = 'retired'`, 0},
		"one that was read": {
			`INSERT INTO launch_templates (agent_id, instance_id, template) VALUES ('a1', 'i-0', '{}')`, 0},
		"its predecessor was read": {
			`INSERT INTO launch_templates (agent_id, instance_id, template) VALUES ('a1', 'i-before', '{}')`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.exec(`UPDATE instances SET primary_since = now()`)
			w.exec(c.but)
			require.Equal(t, &activities.NoteTemplatesResult{Templates: c.noted}, w.noteTemplates())
		})
	}
	w := newWorld(t)
	w.exec(`UPDATE instances SET primary_since = now()`)
	found, err := (&postgres.Templates{Launches: postgres.Launches{DB: w.db}}).FreshPrimaries(t.Context(),
		time.Minute, []string{"i-0"}, 10)
	require.NoError(t, err)
	require.Empty(t, found, "it waits for its turn")
}

// registrations are primaries in memory, by when they register.
type registrations struct {
	began time.Time
	at    map[string]time.Duration
	noted map[string]time.Duration
}

func (r *registrations) FreshPrimaries(
	_ context.Context,
	_ time.Duration,
	without []string,
	_ int,
) ([]activities.FreshPrimary, error) {
	var out []activities.FreshPrimary
	for id, at := range r.at {
		_, noted := r.noted[id]
		if age := time.Since(r.began) - at; age >= 0 && !noted && !slices.Contains(without, id) {
			out = append(out, activities.FreshPrimary{
				Primary: activities.Primary{AgentID: id, InstanceID: id},
				Age:     age,
			})
		}
	}
	return out, nil
}

func (r *registrations) KeepTemplate(_ context.Context, agentID, _ string, _ json.RawMessage) error {
	r.noted[agentID] = time.Since(r.began)
	return nil
}

// hiding is an EC2 that does not show one instance, and notes when it was asked.
type hiding struct {
	*fakeFleet
	began  time.Time
	hidden string
	asked  []time.Duration
}

func (f *hiding) Template(ctx context.Context, a activities.Account, region, id string) (json.RawMessage, error) {
	if id == f.hidden {
		f.asked = append(f.asked, time.Since(f.began))
		return nil, replica.InstanceGone.New("it is not shown yet")
	}
	return f.fakeFleet.Template(ctx, a, region, id)
}

// TestTemplatesAreNotedWithinSeconds: a run looks every two seconds, and one that
// EC2 does not show is asked about less and less, and holds up no other.
func TestTemplatesAreNotedWithinSeconds(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		store := &registrations{began: time.Now(), noted: map[string]time.Duration{},
			at: map[string]time.Duration{"hidden": 0, "first": 0, "later": 21 * time.Second, "last": 47 * time.Second,
				"next run's": 49 * time.Second}}
		ec2 := &hiding{fakeFleet: newFakeFleet(), began: store.began, hidden: "hidden"}
		steps := &activities.Templates{
			Store: store,
			Fleet: ec2,
			Log:   quiet,
			Watch: 50 * time.Second,
			Every: 2 * time.Second,
		}
		got, err := steps.NoteTemplates(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string]time.Duration{
			"first": 0,
			"later": 22 * time.Second,
			"last":  48 * time.Second,
		}, store.noted)
		require.Equal(t, []time.Duration{0, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
			32 * time.Second}, ec2.asked)
		require.Equal(t, &activities.NoteTemplatesResult{Templates: 3, Failed: 6}, got)
	})
}

// quietStore has no new primary, and stops the worker at the first look.
type quietStore struct {
	activities.TemplateStore
	looks int
	stop  chan struct{}
}

func (s *quietStore) FreshPrimaries(context.Context, time.Duration, []string, int) ([]activities.FreshPrimary, error) {
	if s.looks++; s.looks == 1 {
		close(s.stop)
	}
	return nil, nil
}

// TestNotingDoesNotHoldUpAStoppingWorker: a worker that drains is not kept for the
// rest of the minute.
func TestNotingDoesNotHoldUpAStoppingWorker(t *testing.T) {
	t.Parallel()

	store := &quietStore{stop: make(chan struct{})}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(store.stop)
	steps := &activities.Templates{Store: store, Watch: time.Hour, Every: time.Minute}
	env.RegisterActivity(steps)
	got, err := env.ExecuteActivity(steps.NoteTemplates)
	require.NoError(t, err)
	var out activities.NoteTemplatesResult
	require.NoError(t, got.Get(&out))
	require.Equal(t, 1, store.looks)
}
