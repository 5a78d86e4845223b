package intake_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/intake"
)

// sky shows instances, and counts who asked for which.
type sky struct {
	mu    sync.Mutex
	seen  map[string]intake.Sighting
	asked []string
	fail  error
	marks error
}

func (s *sky) see(
	_ context.Context,
	a activities.Account,
	region string,
	ids []string,
) (map[string]intake.Sighting, error, error) { //nolint:staticcheck,revive // as Survey.See
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		s.asked = append(s.asked, a.RoleARN+" "+region+" "+id)
	}
	return s.seen, s.marks, s.fail
}

func (s *sky) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.asked))
}

func (w *world) survey(s *sky, every time.Duration) *intake.Survey {
	return &intake.Survey{
		Store:  w.store,
		See:    s.see,
		Follow: w.followed,
		Every:  every,
		Log:    slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Now:    time.Now,
	}
}

// runUntil runs surveys until something is so.
func (w *world) runUntil(so func() bool, surveys ...*intake.Survey) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	for _, s := range surveys {
		all.Go(func() { _ = s.Run(ctx) })
	}
	require.Eventually(w.t, so, time.Minute, 5*time.Millisecond)
	cancel()
	all.Wait()
}

// TestSurveyTakesNoticesIn: an instance that EC2 has marked, and one that is gone, without
// a notice from any other source.
func TestSurveyTakesNoticesIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	marked := time.Now().Add(-20 * time.Second)
	s := &sky{seen: map[string]intake.Sighting{
		"i-0": {State: "running", Marked: marked, Action: "stop"},
		"i-1": {State: "running"},
		"i-2": {State: "terminated"},
	}}
	w.runUntil(func() bool { return w.followed.count(roles.RuledFailOver)+w.followed.count(roles.RuledLaunch) == 2 },
		w.survey(s, time.Hour))
	require.Equal(t, "i-0 describe stop promoted,i-2 describe  ",
		w.read(`SELECT string_agg(instance_id || ' ' || door || ' ' || action || ' ' || result, ',' ORDER BY instance_id) FROM notices`))
	require.Equal(
		t,
		"true",
		w.read(
			`
				SELECT (deadline BETWEEN now() + interval '60 seconds' AND now() + interval '100 seconds')::text
				FROM notices
				WHERE instance_id = 'i-0'`,
		),
	)
	require.Equal(t, "i-1", w.read(`SELECT id FROM instances WHERE agent_id = 'a1' AND role = 'primary'`))
	require.Equal(t, 1, w.followed.count(roles.RuledFailOver))
	require.Equal(t, 1, w.followed.count(roles.RuledLaunch))
}

// TestSurveyLeavesOthersAlone: an instance that EC2 does not show is not gone, and one of
// an agent that launches for itself is not asked for.
func TestSurveyLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`UPDATE agents SET launcher = 'agent' WHERE id = 'a2'`)
	s := &sky{seen: map[string]intake.Sighting{"i-1": {State: "stopped"}, "i-2": {State: "terminated"}}}
	w.runUntil(func() bool { return len(s.questions()) >= 2 }, w.survey(s, time.Hour))
	require.Equal(t, []string{" us-east-1 i-0", " us-east-1 i-1"}, s.questions())
	require.Equal(t, "0", w.read(`SELECT count(*)::text FROM notices`))
}

// TestWorkersShareThePlaces: several of them ask once for each account and region.
func TestWorkersShareThePlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := &sky{}
	want := []string{" us-east-1 i-0", " us-east-1 i-1", "arn:aws:iam::444455556666:role/spotkeeper us-east-1 i-2"}
	surveys := []*intake.Survey{w.survey(s, time.Hour), w.survey(s, time.Hour), w.survey(s, time.Hour)}
	w.runUntil(func() bool { return len(s.questions()) >= len(want) }, surveys...)
	require.Equal(t, want, s.questions())
	w.runUntil(func() bool { return len(s.questions()) >= 3*len(want) }, w.survey(s, time.Millisecond))
}

// TestSurveyThatFails comes again, and states are used where marks cannot be read.
func TestSurveyThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := &sky{
		fail:  errors.New("throttled"),
		marks: errors.New("not permitted"),
		seen:  map[string]intake.Sighting{"i-0": {State: "shutting-down"}},
	}
	survey := w.survey(s, time.Millisecond)
	w.runUntil(func() bool { return len(s.questions()) > 6 }, survey)
	require.Equal(t, "0", w.read(`SELECT count(*)::text FROM notices`))
	s.mu.Lock()
	s.fail = nil
	s.mu.Unlock()
	w.runUntil(func() bool { return w.read(`SELECT count(*)::text FROM notices`) == "1" }, survey)
}
