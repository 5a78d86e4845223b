package serving_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/serving"
)

// named is an engine that records whether it was closed.
type named struct {
	engine.Rules
	id     string
	closed atomic.Bool
	unfit  atomic.Bool
}

func (n *named) Unfit() error {
	if n.unfit.Load() {
		return errors.New("it is in quarantine")
	}
	return nil
}

func (n *named) Version() string { return n.id }
func (n *named) Close() error    { n.closed.Store(true); return nil }

// place is one process's surroundings.
type place struct {
	mu      sync.Mutex
	want    mlmodel.Serving
	away    error
	broken  map[string]error
	tries   map[string]int // to load a session
	loaded  []*named
	serving *serving.Serving
}

func newPlace(now func() time.Time) *place {
	p := &place{broken: map[string]error{}, tries: map[string]int{}}
	p.serving = &serving.Serving{Source: p, Load: p.load, Log: slog.New(slog.DiscardHandler), Now: now}
	return p
}

func (p *place) Serving(context.Context) (mlmodel.Serving, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.want, p.away
}

func (p *place) load(_ context.Context, s mlmodel.Session) (serving.LoadedEngine, error) {
	p.tries[s.ID]++
	if err := p.broken[s.ID]; err != nil {
		return nil, err
	}
	n := &named{id: s.ID}
	p.loaded = append(p.loaded, n)
	return n, nil
}

func (p *place) wants(phase mlmodel.Phase, percent int, candidate string, live ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = mlmodel.Serving{Phase: phase, Percent: percent}
	if candidate != "" {
		p.want.Candidate = &mlmodel.Session{ID: candidate}
	}
	for i, id := range live {
		at := time.Unix(int64(i), 0)
		p.want.Live = append(p.want.Live, mlmodel.Session{ID: id, Live: true, ActivatedAt: &at})
	}
}

func (p *place) version(agentID string) string { return p.serving.EngineFor(agentID).Version() }

// TestOneThatEndsItsProcessWhileItIsLoaded is loaded twice, and not again before the next day.
func TestOneThatEndsItsProcessWhileItIsLoaded(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	p := newPlace(func() time.Time { return at })
	died := fmt.Errorf("it could not be loaded: %w", host.ErrDied)
	p.broken["s1"] = died
	p.wants("", 0, "", "s1")
	for range 10 {
		p.serving.Look(t.Context())
		at = at.Add(time.Minute)
	}
	require.Equal(t, 2, p.tries["s1"])
	require.ErrorContains(t, p.serving.Check(t.Context()), "in quarantine")
	require.Equal(t, engine.Rules{}.Version(), p.version("a1"))
	at = at.Add(24 * time.Hour)
	delete(p.broken, "s1")
	p.serving.Look(t.Context())
	require.Equal(t, "s1", p.version("a1"))
	require.NoError(t, p.serving.Check(t.Context()))
}

// TestTheRulesDecideForOneInQuarantine: the rules decide for as long as the session in
// quarantine is live, and another session is loaded as usual. In a rollout the live engine decides.
func TestTheRulesDecideForOneInQuarantine(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	p := newPlace(func() time.Time { return at })
	p.wants("", 0, "", "s1")
	p.serving.Look(t.Context())
	require.Equal(t, "s1", p.version("a1"))
	p.loaded[0].unfit.Store(true)
	for range 5 {
		p.serving.Look(t.Context())
		require.Equal(t, engine.Rules{}.Version(), p.version("a1"))
		require.ErrorContains(t, p.serving.Check(t.Context()), "it is in quarantine")
		at = at.Add(time.Minute)
	}
	require.Len(t, p.loaded, 1, "it is not loaded again")
	p.wants(mlmodel.Canary, 100, "s2", "s1")
	p.serving.Look(t.Context())
	require.Equal(t, "s2", p.version("a1"))
	p.loaded[1].unfit.Store(true)
	p.serving.Look(t.Context())
	require.Equal(t, engine.Rules{}.Version(), p.version("a1"))
	p.wants("", 0, "", "s1", "s3")
	p.serving.Look(t.Context())
	require.Equal(t, "s3", p.version("a1"))
	require.NoError(t, p.serving.Check(t.Context()))
}

// TestARolloutInOneProcess: rules, live, shadow, canary, live, and back.
func TestARolloutInOneProcess(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	p, ctx := newPlace(func() time.Time { return now }), t.Context()
	rules := engine.Rules{}
	require.Equal(t, rules.Version(), p.version("a"), "before the first look the rules decide")
	require.Nil(t, p.serving.ShadowFor("a"))

	p.wants("", 0, "", "s1")
	p.serving.Look(ctx)
	require.Equal(t, "s1", p.version("a"))

	p.wants(mlmodel.Shadow, 0, "s2", "s1")
	p.serving.Look(ctx)
	require.Equal(t, "s1", p.version("a"))
	require.Equal(t, "s2", p.serving.ShadowFor("a").Version())

	p.wants(mlmodel.Canary, 30, "s2", "s1")
	p.serving.Look(ctx)
	require.Nil(t, p.serving.ShadowFor("a"))
	for i := range 200 {
		id := fmt.Sprintf("agent-%d", i)
		want := "s1"
		if mlmodel.InCanary("s2", id, 30) {
			want = "s2"
		}
		require.Equal(t, want, p.version(id))
	}

	p.wants("", 0, "", "s2")
	p.serving.Look(ctx)
	require.Equal(t, "s2", p.version("a"))
	require.Len(t, p.loaded, 2, "the candidate is not loaded again when it becomes live")
	require.False(t, p.loaded[0].closed.Load(), "a decision may still be made with it")
	now = now.Add(time.Minute)
	p.serving.Look(ctx)
	require.True(t, p.loaded[0].closed.Load())

	p.wants("", 0, "")
	p.serving.Look(ctx)
	require.Equal(t, rules.Version(), p.version("a"))
	require.NoError(t, p.serving.Check(ctx))
}

// TestAProcessThatCannotLoadKeepsWhatItHas, says so, and tries again.
func TestAProcessThatCannotLoadKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	p, ctx := newPlace(func() time.Time { return now }), t.Context()
	p.wants("", 0, "", "s1")
	p.serving.Look(ctx)
	p.broken["s2"] = errors.New("the library is missing")
	p.wants(mlmodel.Canary, 99, "s2", "s1")
	p.serving.Look(ctx)
	require.Equal(t, "s1", p.version("agent-1"), "the live engine decides for the canary")
	require.ErrorContains(t, p.serving.Check(ctx), "the library is missing")

	p.wants("", 0, "", "s2")
	p.serving.Look(ctx)
	require.Equal(t, "s1", p.version("a"))
	err := p.serving.Check(ctx)
	require.Equal(t, mlmodel.LoadFailed, fault.CodeOf(err))
	now = now.Add(10 * time.Minute)
	p.serving.Look(ctx)
	require.False(t, p.loaded[0].closed.Load(), "what serves is not unloaded, however long it is not wanted")

	delete(p.broken, "s2")
	now = now.Add(time.Minute)
	p.serving.Look(ctx)
	require.Equal(t, "s2", p.version("a"))
	require.NoError(t, p.serving.Check(ctx))

	p.away = errors.New("the database is away")
	p.serving.Look(ctx)
	require.Equal(t, "s2", p.version("a"), "nobody knows better")
}

// TestASwapReachesAProcessWithinFiveSeconds by the clock of the process.
func TestASwapReachesAProcessWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.serving.Run(ctx) }()
		synctest.Wait()
		p.wants("", 0, "", "s1")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, "s1", p.version("a"))
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.True(t, p.loaded[0].closed.Load(), "nothing is left behind")
	})
}

// TestTheEngineOfASession is had of what decides here, and of nothing else.
func TestTheEngineOfASession(t *testing.T) {
	t.Parallel()
	p := newPlace(func() time.Time { return time.Unix(0, 0) })
	p.wants(mlmodel.Shadow, 0, "s2", "s1")
	p.serving.Look(t.Context())
	require.Equal(t, "s1", p.serving.EngineOf("s1").Version())
	require.Equal(t, "s2", p.serving.EngineOf("s2").Version())
	require.Nil(t, p.serving.EngineOf("s3"))
	require.Nil(t, p.serving.EngineOf(""))
}
