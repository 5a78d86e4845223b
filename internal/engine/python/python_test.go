package python_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/plaintext"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/python"
	"spotkeeper/internal/testkit/confined"
	"spotkeeper/internal/testkit/cpu"
)

func TestMain(m *testing.M) {
	confined.Become()
	goleak.VerifyTestMain(m)
}

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func pool(az string, usd float64) engine.Pool {
	return engine.Pool{
		ID: agent.PoolID("t3.medium", az), Type: "t3.medium", Region: "us-east-1", AZ: az,
		Price:         engine.Price{USD: usd, At: now},
		History:       []engine.Price{{USD: usd, At: now.Add(-24 * time.Hour)}},
		Interruptions: &engine.Interruptions{InstanceHours: 2400},
	}
}

func input() engine.Input {
	return engine.Input{
		Now: now, Agent: engine.Agent{ID: "a1", Enabled: true},
		Instance: engine.Instance{
			ID:         "i-1",
			Type:       "t3.medium",
			Region:     "us-east-1",
			AZ:         "us-east-1a",
			Mode:       agent.Spot,
			PoolID:     "t3.medium.us-east-1a",
			LaunchedAt: now.Add(-48 * time.Hour),
		},
		OnDemand: engine.Price{USD: .1, At: now},
		Pools:    []engine.Pool{pool("us-east-1a", .05), pool("us-east-1b", .04)},
		Limits:   engine.DefaultLimits(),
	}
}

// options are generous with time, because the machine may be busy; a test of
// time limits sets its own.
func options() python.Options {
	return python.Options{Options: host.Options{CallTimeout: 20 * time.Second, LoadTimeout: 60 * time.Second}}
}

func load(t *testing.T, o python.Options, name, source string) *python.Engine {
	t.Helper()
	e, err := python.New(t.Context(), o, name, []byte(source))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

const wise = `
import os, socket, time
def make_decision(agent_data, pricing_data, market_data=None):
    print("thinking aloud")
    cheapest = min(market_data["pools"], key=lambda p: p["price"])
    return {"decision_type": "switch_to_spot", "recommended_pool_id": cheapest["pool_id"],
            "risk_score": 0.2, "expected_savings": pricing_data["ondemand_price"] - cheapest["price"],
            "confidence": 0.8, "reason": "cheapest of %d for %s" % (len(market_data["pools"]), agent_data["current_mode"])}
`

func TestAFunctionDecides(t *testing.T) {
	t.Parallel()
	e := load(t, options(), "engine.py", wise)
	d := engine.Decide(t.Context(), e, input())
	require.Equal(t, engine.SwitchToSpot, d.Action, d.Reason)
	require.Equal(t, "t3.medium.us-east-1b", d.PoolID)
	require.Equal(t, "cheapest of 2 for spot", d.Reason)
	require.InDelta(t, .06, d.Savings, 1e-9)
	require.Equal(t, "python", d.Engine)
}

// TestTheDeployedClassDecides is the shape of the engine that is deployed: made
// with keywords, loaded, called with two arguments' names.
func TestTheDeployedClassDecides(t *testing.T) {
	t.Parallel()
	e := load(t, options(), "ml_based_engine.py", `
class MLBasedDecisionEngine:
    def __init__(self, model_dir, db_connection_func):
        self.loaded = False
    def load(self):
        self.loaded = True
    def make_decision(self, agent_data, pricing_data, market_data=None):
        saving = (pricing_data["ondemand_price"] - pricing_data["spot_price"]) / pricing_data["ondemand_price"] * 100
        return {"decision_type": "stay_spot", "recommended_pool_id": agent_data["current_pool_id"], "risk_score": 0.3,
                "expected_savings": 0.05, "confidence": 0.6, "reason": "%s, %.1f%% savings" % (self.loaded, saving)}
`)
	d := engine.Decide(t.Context(), e, input())
	require.Equal(t, "stay_spot", d.LegacyType())
	require.Equal(t, "True, 50.0% savings", d.Reason)
}

func TestAnEngineCannotMoveAgainstTheLimits(t *testing.T) {
	t.Parallel()
	in := input()
	in.Activity.SwitchesDay = 3
	d := engine.Decide(t.Context(), load(t, options(), "engine.py", wise), in)
	require.Equal(t, engine.Stay, d.Action)
	require.Equal(t, "t3.medium.us-east-1b", d.Wanted.PoolID)
}

func TestMisbehaviourMeansStay(t *testing.T) {
	t.Parallel()
	body := func(lines ...string) string {
		return "import os, socket, subprocess, tempfile, threading, time\ndef make_decision(agent_data, pricing_data, market_data):\n    " + strings.Join(
			lines,
			"\n    ",
		) + "\n"
	}
	const fine = `return {"decision_type": "switch_to_ondemand", "reason": "fine"}`
	cases := []struct {
		name, source, reason string
		edit                 func(*python.Options)
	}{
		{"it raises", body(`raise ValueError("no idea")`), "ValueError: no idea", nil},
		{"it raises what paints a terminal", body(`raise ValueError("no\x1b[2J\u202e idea\n\nnone")`), "\ufffd[2J\ufffd idea", nil},
		{"it answers in words that are not shown", body(`return {"decision_type": "stay", "reason": "no\x1b[2J\u202e\nidea" + "x" * 9999}`),
			"no\ufffd[2J\ufffd idea", nil},
		{"it exits", body(`raise SystemExit(3)`), "SystemExit", nil},
		{"it kills itself", body(`os._exit(7)`), "died (exit status 7)", nil},
		{"it hangs", body(`time.sleep(3600)`), "did not answer in time",
			func(o *python.Options) { o.CallTimeout = time.Second }},
		{"it hangs in a loop", body(`while True: pass`), "did not answer in time",
			func(o *python.Options) { o.CallTimeout = time.Second }},
		{"it eats memory", body(`hoard = []`, `while True: hoard.append(bytearray(1 << 24))`), "MemoryError",
			func(o *python.Options) { o.Memory = 400 << 20 }},
		{"it answers rubbish", body(`return "rubbish"`), "not a decision", nil},
		{"it answers what is no JSON", body(`return {"decision_type": {1, 2}}`), "not JSON serializable", nil},
		{"it answers an unknown word", body(`return {"decision_type": "panic"}`), `"panic"`, nil},
		{"it writes rubbish as the answer", body(`os.write(3, b"rubbish\n")`, fine), "not an answer", nil},
		{"it writes without end", body(`while True: os.write(3, b"x" * 65536)`), "more than an answer", nil},
		{"it forks", body(`os.fork()`, fine), "PermissionError", nil},
		{"it starts a program", body(`subprocess.run(["/bin/true"])`, fine), "PermissionError", nil},
		{"it starts a thread", body(`threading.Thread(target=print).start()`, fine), "can't start new thread", nil},
		{"it tries the network", body(`socket.create_connection(("203.0.113.7", 80), timeout=5)`, fine),
			"PermissionError", nil},
		{"it writes a file", body(`tempfile.TemporaryFile(buffering=0).write(b"x" * 10000)`, fine),
			"No usable temporary directory", nil},
		{"it chooses a pool that does not exist",
			body(`return {"decision_type": "switch_to_spot", "recommended_pool_id": "moon"}`),
			`"moon", which is not a candidate`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options()
			if c.edit != nil {
				c.edit(&o)
			}
			e := load(t, o, "engine.py", c.source)
			d := engine.Decide(t.Context(), e, input())
			require.Equal(t, engine.Stay, d.Action, d.Reason)
			require.Equal(t, agent.Spot, d.Mode)
			require.Contains(t, d.Reason, c.reason)
			_, found := plaintext.FindHidden(d.Reason)
			require.False(t, found, "%q", d.Reason)
			require.Less(t, len(d.Reason), 2000)
			if c.name == "it answers in words that are not shown" {
				return
			}
			require.NotEmpty(t, d.Vetoes)
			_, found = plaintext.FindHidden(d.Vetoes[0].Reason)
			require.False(t, found, "%q", d.Vetoes[0].Reason)
		})
	}
}

func TestAFileThatDoesNotLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, source, want string }{
		"syntax":        {"engine.py", "def make_decision(:", "SyntaxError"},
		"no function":   {"engine.py", "x = 1", "it defines neither"},
		"a bad import":  {"engine.py", "import nothing_like_it", "ModuleNotFoundError"},
		"no pickle":     {"model.pkl", "rubbish", "UnpicklingError"},
		"not a model":   {"model.pkl", "\x80\x04K\x01.", "neither make_decision"},
		"exits at once": {"engine.py", "import os; os._exit(2)", "died (exit status 2)"},
	} {
		_, err := python.New(t.Context(), options(), c.file, []byte(c.source))
		require.True(t, fault.Is(err, python.BadEngine), "%s: %v", name, err)
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestWithoutAnInterpreter(t *testing.T) {
	t.Parallel()
	o := options()
	o.Interpreter = "/nowhere/python3"
	_, err := python.New(t.Context(), o, "engine.py", []byte(wise))
	require.True(t, fault.Is(err, python.Off), "%v", err)
	require.ErrorContains(t, err, `python off: the interpreter "/nowhere/python3" cannot be run`)
}

func TestHowItIsHeld(t *testing.T) {
	t.Parallel()
	e := load(t, options(), "engine.py", `
import os
def make_decision(agent_data, pricing_data, market_data):
    return {"decision_type": "stay", "reason": "%d %d %s" % (os.getuid(), os.getpid(), sorted(k for k in os.environ if "SECRET" in k or "DATABASE" in k))}
`)
	d := engine.Decide(t.Context(), e, input())
	require.Contains(t, e.Isolation(), "no network")
	require.Contains(t, d.Reason, " 1 []", "the first of its process space, without our environment")
	if os.Geteuid() == 0 {
		require.Contains(t, d.Reason, "65534 ")
	}
	require.NoError(t, e.Close())
	require.Equal(t, "stopped", e.Isolation())
	require.Contains(t, engine.Decide(t.Context(), e, input()).Reason, "unloaded")
}

// TestAPickledModelPredicts makes a model with the interpreter itself, so that
// no library is needed: a class of the standard library cannot predict, so the
// pickle carries its own code.
func TestAPickledModelPredicts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	data, err := exec.CommandContext(ctx, "python3", "-c", `
import pickle, sys
class Maker:
    def __reduce__(self):
        return (eval, ("type('Model', (), {'predict': lambda self, rows: [0.9 if row[8] else 0.001 for row in rows]})()",))
sys.stdout.buffer.write(pickle.dumps(Maker()))
`).Output()
	require.NoError(t, err)
	e := load(t, options(), "model.pkl", string(data))
	d := engine.Decide(t.Context(), e, input())
	require.Equal(t, engine.SwitchToSpot, d.Action, d.Reason)
	require.InDelta(t, .9, d.Risk, 1e-6)
	require.Equal(t, "t3.medium.us-east-1b", d.PoolID)
}

func BenchmarkDecide(b *testing.B) {
	e, err := python.New(b.Context(), options(), "engine.py", []byte(wise))
	require.NoError(b, err)
	in := input()
	used := cpu.ProcessorTime()
	for b.Loop() {
		engine.DecideUnrecorded(b.Context(), e, in)
	}
	elapsed := b.Elapsed()
	require.NoError(b, e.Close()) // only then is known what the child has used; its start is in it
	cpu.ReportCost(b, b.N, elapsed, used)
}
