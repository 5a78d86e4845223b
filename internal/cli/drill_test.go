package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// drilled is a fleet of one with a ready standby, whose failover asks what becomes of the old
// instance at the first look, and has ended at the second one.
type drilled struct {
	*httptest.Server
	contexts string
	fleet    string
	looks    int
	wrote    []string // requests that changed something, with their bodies
	outcome  string
	asks     string
	last     string // when the last failover began; empty: never
	flying   bool   // the client has a failover in flight
	opens    string // of the client's rules, in JSON
}

const termination = "termination/a-1/i-1"

func rehearse(t *testing.T) *drilled {
	t.Helper()
	d := &drilled{outcome: "succeeded", asks: `"left_over"`, opens: "null"}
	d.fleet = strings.NewReplacer(`"operation":{"id":"switch/1","kind":"switch","phase":"launching"}`, `"operation":null`,
		`"standby":null`, `"standby":{"id":"r-1","instance_id":"i-2","state":"ready"}`).Replace(fleetOfOne)
	d.Server = httptest.NewServer(http.HandlerFunc(d.answer))
	t.Cleanup(d.Close)
	d.contexts = filepath.Join(t.TempDir(), "contexts.yaml")
	r := run(t, "", "context", "set", "staging", "--server", d.URL, "--drills", "web", "--contexts", d.contexts)
	require.Equal(t, 0, r.code, r.err)
	return d
}

func (d *drilled) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		d.wrote = append(d.wrote, r.Method+" "+r.URL.Path+" "+string(body))
	}
	switch r.Method + " " + r.URL.EscapedPath() {
	case "GET /api/fleet":
		_, _ = fmt.Fprint(w, d.fleet)
	case "GET /api/client/c-1/move-rules":
		_, _ = fmt.Fprintf(w, `{"policies":{},"answer_minutes":60,"windows":[],"opens_at":%s}`, d.opens)
	case "GET /api/operations":
		found := ""
		if r.URL.Query().Get("agent_id") != "" && d.last != "" || r.URL.Query().Get("state") == "running" && d.flying {
			found = fmt.Sprintf(`{"id":"termination/x","kind":"termination","started_at":%q}`, d.last)
		}
		_, _ = fmt.Fprintf(w, `{"operations":[%s],"next":null}`, found)
	case "POST /api/agents/a-1/termination-imminent":
		_, _ = fmt.Fprintf(w, `{"success":true,"action":"replica_promoted","message":"","operation_id":%q}`, termination)
	case "POST /api/client/instances/i-1/left-over":
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprint(w, `{"instance_id":"i-1","agent_id":"a-1","operation_id":"x","href":"x"}`)
	case "GET /api/operations/termination%2Fa-1%2Fi-1":
		const step = `{"name":%q,"status":"done","detail":"","since_ms":%d,"at":"2026-01-02T03:04:05Z","exact_at":"2026-01-02T03:04:05Z"}`
		steps, state, asks := fmt.Sprintf(step, "notice durable", 12)+","+fmt.Sprintf(step, "primary changed", 345), "running", d.asks
		if d.looks++; d.looks > 1 {
			steps, state, asks = steps+","+fmt.Sprintf(step, "i-1 is kept", 301000), d.outcome, "null"
		}
		_, _ = fmt.Fprintf(w, `{"id":%q,"state":%q,"asks":%s,"steps":[%s],"new_instance_id":"i-2","launches":[]}`, termination, state, asks, steps)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"error":"There is no such path.","code":"http.no_such_path"}`)
	}
}

// TestADrillIsFollowedToItsEnd: each step is printed once, and the old instance is decided on
// when the operation asks, not before.
func TestADrillIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	for old, args := range map[string][]string{"keep": {"--yes"}, "end": {"--old", "end"}} {
		t.Run(old, func(t *testing.T) {
			t.Parallel()
			d := rehearse(t)
			r := run(t, "web\n", append([]string{"drill", "web", "--contexts", d.contexts}, args...)...)
			require.Equal(t, 0, r.code, r.err)
			require.Equal(t, []string{
				`POST /api/agents/a-1/termination-imminent {"instance_id":"i-1"}`,
				`POST /api/client/instances/i-1/left-over {"action":"` + old + `"}`,
			}, d.wrote)
			require.Equal(t, 1, strings.Count(r.out, "notice durable"), r.out)
			require.Contains(t, r.out, "  301.000 s  done     i-1 is kept")
			require.Contains(t, r.out, "succeeded:  (i-2 leads 0.345 s after the notice)")
		})
	}
}

// TestADrillIsOnlyWhereItIsMeant: of an agent that is marked, for the marks' own server, with
// the agent's name or --yes, and when a failover finds what it needs.
func TestADrillIsOnlyWhereItIsMeant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typed string
		args  []string
		fleet [2]string // replaced in what the API answers
		want  string
	}{
		"no name":           {args: []string{"drill", "web"}, want: "a drill wants the agent's name, or --yes"},
		"another name":      {typed: "yes\n", args: []string{"drill", "web"}, want: "a drill wants the agent's name, or --yes"},
		"not marked":        {fleet: [2]string{`"name":"web"`, `"name":"api"`}, args: []string{"drill", "api", "--yes"}, want: "not marked for drills"},
		"no such fate":      {args: []string{"drill", "web", "--yes", "--old", "lose"}, want: "--old is keep or end"},
		"no standby":        {fleet: [2]string{`"standby":{"id":"r-1","instance_id":"i-2","state":"ready"}`, `"standby":null`}, want: "no standby"},
		"standby not ready": {fleet: [2]string{`"state":"ready"`, `"state":"running"`}, want: "no standby"},
		"no primary":        {fleet: [2]string{`"primary":{`, `"primary":null,"x":{`}, want: "no primary"},
		"disabled":          {fleet: [2]string{`"enabled":true`, `"enabled":false`}, want: "is disabled"},
		"a real notice":     {fleet: [2]string{`"notice":null`, `"notice":"termination"`}, want: "has a notice of AWS already"},
		"busy":              {fleet: [2]string{`"operation":null`, `"operation":{"id":"switch/1","kind":"switch","phase":"x"}`}, want: "busy with switch/1"},
		"paused": {fleet: [2]string{`"pause":null`, `"pause":{"scope":"agent","reason":"","until":"2026-01-02T03:04:05Z"}`},
			want: "is paused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := rehearse(t)
			if c.fleet[0] != "" {
				require.Contains(t, d.fleet, c.fleet[0])
				d.fleet = strings.Replace(d.fleet, c.fleet[0], c.fleet[1], 1)
			}
			if c.args == nil {
				c.args = []string{"drill", "web", "--yes"}
			}
			r := run(t, c.typed, append(c.args, "--contexts", d.contexts)...)
			require.Equal(t, 1, r.code, r.out)
			require.Contains(t, r.err, c.want)
			require.Empty(t, d.wrote)
		})
	}

	// The marks of a context are those of its server.
	d, other := rehearse(t), rehearse(t)
	r := run(t, "", "drill", "web", "--yes", "--contexts", d.contexts, "--server", other.URL)
	require.Contains(t, r.err, "not marked for drills")
	require.Empty(t, other.wrote)
}

// TestADrillThatFailsFails, and an agent without our launches is not asked about its old instance.
func TestADrillThatFailsFails(t *testing.T) {
	t.Parallel()
	d := rehearse(t)
	d.outcome, d.asks = "failed", "null"
	r := run(t, "", "drill", "web", "--yes", "--contexts", d.contexts, "-o", "json")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, termination+" has failed")
	require.Len(t, d.wrote, 1, "only the notice")
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.out), &o), r.out)
	require.Equal(t, termination, o["id"])
}

func TestDecisionsThatWaitForAPerson(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	a := serve(t, map[string]string{
		"GET /api/operations": `{"next":null,"operations":[
			{"id":"termination/a/i-1","instance_id":"i-1","asks":"left_over","waits_for":"AWS has not taken i-1.","updated_at":"2026-01-02T03:04:05Z"},
			{"id":"termination/a/i-9","instance_id":"i-9","asks":null,"updated_at":"2026-01-02T03:04:05Z"}]}`,
		"GET /api/admin/model-rollouts": `{"rollouts":[
			{"session_id":"s-1","phase":"canary","percent":10,"paused":true,"stage_since":"2026-01-02T03:04:05Z","ended_at":null},
			{"session_id":"s-2","phase":"shadow","percent":0,"paused":false,"stage_since":null,"ended_at":null},
			{"session_id":"s-3","phase":"aborted","percent":0,"paused":true,"stage_since":null,"ended_at":"2026-01-02T03:04:05Z"}]}`,
		"GET /api/approvals": `{"next":null,"approvals":[{"id":"q-1","agent_name":"web","instance_id":"i-1",
			"target_pool_id":"m5.large.us-east-1b","asked_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-03T03:04:05Z",
			"reason":"It is cheaper."}]}`,
		"POST /api/approvals/q-1/approve":            `{"note":"The engine decided otherwise since it asked."}`,
		"POST /api/approvals/q-1/reject":             `{"note":null}`,
		"POST /api/client/instances/i-1/left-over":   `{}`,
		"POST /api/admin/model-rollouts/s-1/promote": `{}`,
		"POST /api/admin/model-rollouts/s-1/abort":   `{}`,
	})
	list := run(t, "", "approve", "--server", a.URL, "--contexts", none)
	require.Equal(t, 0, list.code, list.err)
	require.Equal(t, "SINCE                 KIND       ID   CHOICES                     WHAT\n"+
		"2026-01-02 03:04:05Z  left_over  i-1  --end --keep                AWS has not taken i-1.\n"+
		"2026-01-02 03:04:05Z  move       q-1  --move --stay               web is to move from i-1 to m5.large.us-east-1b, "+
		"unanswered it stays at 2026-01-03 03:04:05Z: It is cheaper.\n"+
		"2026-01-02 03:04:05Z  rollout    s-1  --promote --resume --abort  the rollout is paused in canary at 10 % of the agents\n", list.out)
	require.Contains(t, a.asked[0], "state=running")

	for _, args := range [][]string{{"i-1"}, {"i-1", "--end", "--keep"}, {"--end"}} {
		r := run(t, "", append([]string{"approve", "--server", a.URL, "--contexts", none}, args...)...)
		require.Equal(t, 1, r.code, args)
		require.Contains(t, r.err, "say what is decided and how")
	}
	for path, args := range map[string][]string{
		"POST /api/client/instances/i-1/left-over":   {"i-1", "--end"},
		"POST /api/approvals/q-1/approve":            {"q-1", "--move"},
		"POST /api/approvals/q-1/reject":             {"q-1", "--stay"},
		"POST /api/admin/model-rollouts/s-1/promote": {"s-1", "--promote"},
		"POST /api/admin/model-rollouts/s-1/abort":   {"s-1", "--abort"},
	} {
		r := run(t, "", append([]string{"approve", "--server", a.URL, "--contexts", none}, args...)...)
		require.Equal(t, 0, r.code, r.err)
		require.Equal(t, path, a.asked[len(a.asked)-1])
	}
	noted := run(t, "", "approve", "q-1", "--move", "--server", a.URL, "--contexts", none)
	require.Equal(t, "q-1: move\nThe engine decided otherwise since it asked.\n", noted.out)
	refused := run(t, "", "approve", "s-1", "--resume", "--server", a.URL, "--contexts", none)
	require.Equal(t, 1, refused.code)
}

// TestADrillByTheClock chooses what is due and not held back; a timer sees by the exit code that
// something keeps drills from being made.
func TestADrillByTheClock(t *testing.T) {
	t.Parallel()
	recently, longAgo := time.Now().Add(-29*24*time.Hour).Format(time.RFC3339), time.Now().Add(-31*24*time.Hour).Format(time.RFC3339)
	for name, c := range map[string]struct {
		change func(*drilled)
		args   []string
		code   int
		said   string
		drills bool
	}{
		"never had one":       {drills: true, said: "i-2 leads 0.345 s"},
		"long ago":            {change: func(d *drilled) { d.last = longAgo }, drills: true},
		"lately":              {change: func(d *drilled) { d.last = recently }, said: "no drill is due"},
		"often":               {change: func(d *drilled) { d.last = recently }, args: []string{"--every", "168h"}, drills: true},
		"another in flight":   {change: func(d *drilled) { d.last, d.flying = longAgo, true }, code: 1, said: "Acme has a failover in flight, termination/x"},
		"outside of a window": {change: func(d *drilled) { d.opens = `"2026-01-02T03:04:05Z"` }, code: 1, said: "closed until 2026-01-02 03:04:05Z"},
		"no standby": {change: func(d *drilled) { d.fleet = strings.Replace(d.fleet, `"state":"ready"`, `"state":"running"`, 1) },
			code: 1, said: "due and held back: agent web has no standby"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := rehearse(t)
			if c.change != nil {
				c.change(d)
			}
			r := run(t, "", append([]string{"drill", "--next", "--yes", "--contexts", d.contexts}, c.args...)...)
			require.Equal(t, c.code, r.code, r.err)
			require.Contains(t, r.out+r.err, c.said)
			require.Equal(t, c.drills, len(d.wrote) > 0, d.wrote)
		})
	}
	d := rehearse(t)
	for _, args := range [][]string{{"--next"}, {"--next", "--yes", "web"}, {"--yes"}} {
		r := run(t, "", append([]string{"drill", "--contexts", d.contexts}, args...)...)
		require.Equal(t, 1, r.code)
	}
	require.Empty(t, d.wrote)
}
