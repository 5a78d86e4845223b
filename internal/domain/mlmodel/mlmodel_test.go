package mlmodel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
)

func TestFileNames(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"model_a.pkl":         "model_a.pkl",
		"../../scaler.joblib": "scaler.joblib",
		`C:\models\m.ONNX`:    "m.ONNX",
		"my model (1).pkl":    "my_model_1_.pkl",
		".hidden.h5":          "hidden.h5",
	} {
		got, err := mlmodel.FileName(mlmodel.Models, sent)
		require.NoError(t, err, sent)
		require.Equal(t, want, got)
	}
	for sent, code := range map[string]fault.Code{
		"":          mlmodel.NoFiles,
		"..":        mlmodel.NoFiles,
		"model.txt": mlmodel.BadType,
		"engine.py": mlmodel.BadType,
		"pkl":       mlmodel.BadType,
	} {
		_, err := mlmodel.FileName(mlmodel.Models, sent)
		require.Equal(t, code, fault.CodeOf(err), sent)
	}
	_, err := mlmodel.FileName(mlmodel.Engine, "engine.txt")
	require.EqualError(t, err, "File type not allowed: engine.txt. Allowed types: .py, .pkl, .joblib")
}

func session(names ...string) mlmodel.Session {
	s := mlmodel.Session{ID: "s"}
	for _, n := range names {
		s.Files = append(s.Files, mlmodel.File{Name: n, Size: 10})
	}
	return s
}

func TestOneFileOfASessionRuns(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"a.py": {"m.pkl", "a.py"}, "m.onnx": {"m.onnx", "m.pkl", "m.h5"}, "m.joblib": {"m.joblib"},
	} {
		s := session(names...)
		got, err := s.Main()
		require.NoError(t, err)
		require.Equal(t, want, got.Name)
	}
	for _, c := range []struct {
		code  fault.Code
		names []string
	}{
		{mlmodel.NotJustOne, []string{"a.pkl", "b.joblib"}}, {mlmodel.NotJustOne, []string{"a.onnx", "b.onnx"}},
		{mlmodel.NoFiles, nil},
		{engine.NoRunner, []string{"m.h5"}}, {engine.NoRunner, []string{"m.pb"}},
		{engine.NoRunner, []string{"m.pth"}}, {engine.NoRunner, []string{"m.pt"}},
	} {
		s := session(c.names...)
		_, err := s.Main()
		require.Equal(t, c.code, fault.CodeOf(err), "%v", c.names)
	}
	require.Equal(t, int64(20), (&mlmodel.Session{Files: session("a.h5", "b.h5").Files}).Size())
}

func TestTheLatestActivationDecides(t *testing.T) {
	t.Parallel()
	at := func(h int) *time.Time { t := time.Date(2026, 1, 1, h, 0, 0, 0, time.UTC); return &t }
	models := mlmodel.Session{ID: "m", Kind: mlmodel.Models, Live: true, ActivatedAt: at(1)}
	coded := mlmodel.Session{ID: "e", Kind: mlmodel.Engine, Live: true, ActivatedAt: at(2)}
	require.Nil(t, mlmodel.Decider(nil))
	require.Equal(t, "e", mlmodel.Decider([]mlmodel.Session{models, coded}).ID)
	models.ActivatedAt = at(3)
	require.Equal(t, "m", mlmodel.Decider([]mlmodel.Session{models, coded}).ID)
	models.Live = false
	require.Equal(t, "e", mlmodel.Decider([]mlmodel.Session{models, coded}).ID)
}

func TestPlans(t *testing.T) {
	t.Parallel()
	require.NoError(t, mlmodel.DefaultPlan().Validate())
	require.NoError(t, mlmodel.Immediate().Validate())
	require.True(t, mlmodel.Immediate().Immediate())
	require.Equal(t, []mlmodel.Stage{{
		Phase:   mlmodel.Live,
		Percent: 100,
		For:     30 * time.Minute,
	}}, mlmodel.Immediate().Stages())
	p := mlmodel.DefaultPlan()
	require.Len(t, p.Stages(), 6)
	for _, s := range p.Stages() {
		require.GreaterOrEqual(t, s.Every(), 15*time.Second)
		require.LessOrEqual(t, s.Every(), 5*time.Minute)
	}
	for name, spoil := range map[string]func(*mlmodel.Plan){
		"falling":   func(p *mlmodel.Plan) { p.Canary = []int{5, 5} },
		"all":       func(p *mlmodel.Plan) { p.Canary = []int{100} },
		"none":      func(p *mlmodel.Plan) { p.Canary = []int{0} },
		"no step":   func(p *mlmodel.Plan) { p.Step = 0 },
		"for ever":  func(p *mlmodel.Plan) { p.Watch = 15 * 24 * time.Hour },
		"backwards": func(p *mlmodel.Plan) { p.Shadow = -1 },
		"rate":      func(p *mlmodel.Plan) { p.Guards.ErrorRate = 2 },
		"many":      func(p *mlmodel.Plan) { p.Canary = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} },
	} {
		bad := mlmodel.DefaultPlan()
		spoil(&bad)
		require.Equal(t, mlmodel.BadPlan, fault.CodeOf(bad.Validate()), name)
	}
}

// TestCanariesAreSticky: an agent that is in stays in as the share grows, the
// share is what was asked, and another session tries others first.
func TestCanariesAreSticky(t *testing.T) {
	t.Parallel()
	const agents = 20_000
	in, both := map[int]int{}, 0
	for i := range agents {
		id := fmt.Sprintf("agent-%d", i)
		was := false
		for _, percent := range []int{0, 1, 10, 50, 99, 100} {
			is := mlmodel.InCanary("s1", id, percent)
			require.True(t, is || !was, "%s left at %d %%", id, percent)
			if was = is; is {
				in[percent]++
			}
		}
		if mlmodel.InCanary("s1", id, 10) && mlmodel.InCanary("s2", id, 10) {
			both++
		}
	}
	require.Zero(t, in[0])
	require.Equal(t, agents, in[100])
	for _, percent := range []int{1, 10, 50, 99} {
		require.InDelta(t, float64(percent)/100, float64(in[percent])/agents, .01)
	}
	require.InDelta(t, .01, float64(both)/agents, .005)
}

func TestGuards(t *testing.T) {
	t.Parallel()
	g := mlmodel.DefaultGuards()
	fine := mlmodel.Readings{
		Span:   24 * time.Hour,
		Group:  mlmodel.Measure{Agents: 10, Decisions: 100, Errors: 5, Switches: 20, Spend: 3.2, Reference: 10},
		Others: mlmodel.Measure{Agents: 90, Spend: 30, Reference: 100},
		Shadow: mlmodel.Comparison{Pairs: 100, Errors: 5},
	}
	for _, phase := range []mlmodel.Phase{mlmodel.Shadow, mlmodel.Canary, mlmodel.Live} {
		require.Empty(t, g.Breach(phase, fine), phase)
		require.True(t, g.Enough(phase, fine))
	}
	breaks := func(want string, phase mlmodel.Phase, spoil func(*mlmodel.Readings)) {
		bad := fine
		spoil(&bad)
		if got := g.Breach(phase, bad); want == "" {
			require.Empty(t, got)
		} else {
			require.Contains(t, got, want)
		}
	}
	breaks("5.0 % may", mlmodel.Canary, func(r *mlmodel.Readings) { r.Group.Errors = 6 })
	breaks("shadow", mlmodel.Shadow, func(r *mlmodel.Readings) { r.Shadow.Errors = 6 })
	breaks("", mlmodel.Shadow, func(r *mlmodel.Readings) { r.Group.Errors = 100 })
	breaks("", mlmodel.Canary, func(r *mlmodel.Readings) { r.Group.Errors, r.Group.Decisions = 9, 9 }) // too few to say
	breaks("failovers", mlmodel.Live, func(r *mlmodel.Readings) { r.Group.FailedFailovers = 1 })
	breaks("2.1 times a day", mlmodel.Canary, func(r *mlmodel.Readings) { r.Group.Switches = 21 })
	breaks(
		"",
		mlmodel.Canary,
		func(r *mlmodel.Readings) { r.Span, r.Group.Switches = time.Minute, 5 },
	) // a first move of some is no rate
	breaks("cost", mlmodel.Canary, func(r *mlmodel.Readings) { r.Group.Spend = 3.6 })
	breaks(
		"",
		mlmodel.Canary,
		func(r *mlmodel.Readings) { r.Group.Spend, r.Others.Reference = 9, 0 },
	) // no other group to compare with
	breaks(
		"",
		mlmodel.Canary,
		func(r *mlmodel.Readings) { r.Span, r.Group.Switches, r.Group.Spend = 15*time.Minute, 5, 6.5 },
	) // all of them move, and pay twice meanwhile
	breaks(
		"cost",
		mlmodel.Canary,
		func(r *mlmodel.Readings) { r.Span, r.Group.Switches, r.Group.Spend = time.Hour, 5, 6.5 },
	) // that is no move any more
	breaks("", mlmodel.Validating, func(r *mlmodel.Readings) { r.Group.FailedFailovers = 9 })
	require.False(t, g.Enough(mlmodel.Canary, mlmodel.Readings{Group: mlmodel.Measure{Decisions: 9}}))
	require.False(t, g.Enough(mlmodel.Shadow, mlmodel.Readings{}))
	require.True(t, g.Enough(mlmodel.Live, mlmodel.Readings{}))
	require.InDelta(t, .97, mlmodel.Comparison{Pairs: 100, Agree: 97}.Agreement(), 1e-9)
	require.Zero(t, mlmodel.Comparison{}.Agreement())
}

// TestAShareOfNoAgents: in a small fleet a canary step may be no agent. It is passed
// when a larger one follows, and never when it is the only proof there would be.
func TestAShareOfNoAgents(t *testing.T) {
	t.Parallel()
	p := mlmodel.Plan{Shadow: time.Hour, Canary: []int{1, 50}, Step: time.Hour, Guards: mlmodel.DefaultGuards()}
	few := mlmodel.Readings{Group: mlmodel.Measure{Agents: 1, Decisions: 9}}
	for _, c := range []struct {
		stage  int
		seen   mlmodel.Readings
		passes bool
		remark string
	}{
		{0, mlmodel.Readings{}, false, "it has yet to decide 10 times"},
		{1, few, false, "it has yet to decide 10 times"},
		{1, mlmodel.Readings{}, true, "no agent is among its 1 %"},
		{2, mlmodel.Readings{}, false, "it takes a promotion"},
		{2, mlmodel.Readings{Group: mlmodel.Measure{Agents: 1, Decisions: 10}}, true, ""},
		{3, mlmodel.Readings{}, true, ""},
	} {
		passes, remark := p.Passes(c.stage, c.seen)
		require.Equal(t, c.passes, passes, "stage %d", c.stage)
		require.Contains(t, remark, c.remark)
		require.Equal(t, c.remark == "", remark == "")
	}
}
