package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/cli"
)

// api answers fixed bodies by method and path (with 201 or 503 for one that begins so), and keeps what it was asked.
type api struct {
	*httptest.Server
	asked []string
	token string
	body  string // of the last request
}

func serve(t *testing.T, answers map[string]string) *api {
	t.Helper()
	a := &api{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := r.Method + " " + r.URL.EscapedPath()
		a.asked, a.token = append(a.asked, r.Method+" "+r.URL.RequestURI()), r.Header.Get("Authorization")
		sent, _ := io.ReadAll(r.Body)
		a.body = string(sent)
		body, ok := answers[what]
		w.Header().Set("Content-Type", "application/json")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = `{"error":"There is no such path.","code":"http.no_such_path"}`
		}
		for _, status := range []int{http.StatusCreated, http.StatusServiceUnavailable} {
			if rest, so := strings.CutPrefix(body, strconv.Itoa(status)+" "); so {
				w.WriteHeader(status)
				body = rest
			}
		}
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(a.Close)
	return a
}

type result struct {
	code     int
	out, err string
}

// run carries out a command line with a contexts file of its own.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, problems bytes.Buffer
	code := cli.Run(t.Context(), args, strings.NewReader(stdin), &out, &problems)
	return result{code, out.String(), problems.String()}
}

const fleetOfOne = `{"agents":[{"id":"a-1","name":"web","client_id":"c-1","client_name":"Acme","status":"online","keeping":"manual",
	"launcher":"control-plane","enabled":true,"epoch":3,"agent_version":"5.0.0","last_heartbeat_at":null,"risk":null,"pause":null,"notice":null,
	"operation":{"id":"switch/1","kind":"switch","phase":"launching"},"standby":null,
	"primary":{"instance_id":"i-1","instance_type":"m5.large","az":"us-east-1a","region":"us-east-1","mode":"spot",
		"pool_id":"m5.large.us-east-1a","price":0.03,"on_demand_price":0.096}}],"total":1,"next":null}`

func TestAgentsInEveryFormat(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{"GET /api/fleet": fleetOfOne})
	none := filepath.Join(t.TempDir(), "none")

	table := run(t, "", "agents", "--server", a.URL, "--contexts", none, "--needs", "standby", "--client", "c-1")
	require.Equal(t, 0, table.code, table.err)
	require.Contains(t, table.out, "web   online  manual  i-1      m5.large.us-east-1a  spot")
	require.Contains(t, table.out, "switch: launching")
	require.Equal(t, []string{"GET /api/fleet?client_id=c-1&needs=standby&limit=50"}, a.asked)

	var agents []map[string]any
	object := run(t, "", "agents", "--server", a.URL, "--contexts", none, "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(object.out), &agents))
	require.Equal(t, "i-1", agents[0]["primary"].(map[string]any)["instance_id"])

	require.Contains(t, run(t, "", "agents", "--server", a.URL, "--contexts", none, "-o", "yaml").out, "name: web")

	wrong := run(t, "", "agents", "-o", "xml", "--contexts", none)
	require.Equal(t, 1, wrong.code)
	require.Contains(t, wrong.err, `-o takes table, json or yaml, not "xml"`)
}

// TestAListIsReadToItsLimit follows the cursor, and asks for no more than was wanted.
func TestAListIsReadToItsLimit(t *testing.T) {
	t.Parallel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		next := fmt.Sprintf("%q", fmt.Sprint("p", len(asked)))
		op := `{"id":"x","state":"running","kind":"switch","started_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"operations":[%s],"next":%s}`, strings.TrimSuffix(strings.Repeat(op+",", 200), ","), next)
	}))
	t.Cleanup(server.Close)

	r := run(t, "", "ops", "--limit", "450", "--server", server.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 0, r.code, r.err)
	require.Equal(t, []string{"limit=200", "limit=200&after=p1", "limit=50&after=p2"}, asked)
}

func TestContexts(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{"GET /api/fleet": fleetOfOne})
	file := filepath.Join(t.TempDir(), "new", "contexts.yaml")

	set := run(t, "operator-token-0001\n", "context", "set", "prod", "--server", a.URL, "--token-stdin", "--contexts", file)
	require.Equal(t, 0, set.code, set.err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.Equal(t, 0, run(t, "", "agents", "--contexts", file).code)
	require.Equal(t, "Bearer operator-token-0001", a.token)
	for _, format := range []string{"table", "json", "yaml"} {
		list := run(t, "", "context", "list", "--contexts", file, "-o", format)
		require.Contains(t, list.out, a.URL)
		require.NotContains(t, list.out, "operator-token-0001", "a list shows no token")
	}

	// The token of a context goes to its server only.
	elsewhere := serve(t, map[string]string{"GET /api/fleet": fleetOfOne})
	require.Equal(t, 0, run(t, "", "agents", "--contexts", file, "--server", elsewhere.URL).code)
	require.Empty(t, elsewhere.token)

	require.NoError(t, os.Chmod(file, 0o644))
	open := run(t, "", "agents", "--contexts", file)
	require.Equal(t, 1, open.code)
	require.Contains(t, open.err, "chmod 600")
	require.NoError(t, os.Chmod(file, 0o600))

	require.Contains(t, run(t, "", "context", "use", "other", "--contexts", file).err, `there is no context "other"`)
	require.Equal(t, 0, run(t, "", "context", "remove", "prod", "--contexts", file).code)
	require.Contains(t, run(t, "", "agents", "--contexts", file, "--context", "prod").err, `there is no context "prod"`)
}

func TestATokenIsNotSentInClearText(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("operator-token-0001"), 0o600))
	r := run(t, "", "agents", "--server", "http://spotkeeper.example.com", "--token-file", file,
		"--contexts", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "a token is not sent to http://spotkeeper.example.com in clear text")
}

// TestARefusalIsTheSentenceOfTheAPI, and what is no API is called so.
func TestARefusalIsTheSentenceOfTheAPI(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	a := serve(t, nil)
	r := run(t, "", "pools", "--server", a.URL, "--contexts", none)
	require.Equal(t, 1, r.code)
	require.Equal(t, "spotkeeper: There is no such path. (http.no_such_path)\n", r.err)

	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "<html>")
	}))
	r = run(t, "", "pools", "--server", page.URL, "--contexts", none)
	require.Contains(t, r.err, "the API's answer is no JSON")
	page.Close()
	r = run(t, "", "pools", "--server", page.URL, "--contexts", none)
	require.Contains(t, r.err, page.URL+" does not answer: ")
}

// TestAPauseSaysWhose: a pause without a scope would be one of all agents.
func TestAPauseSaysWhose(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	a := serve(t, map[string]string{
		"POST /api/admin/pauses":   `{"success":true,"until":"2026-01-02T03:04:05Z"}`,
		"DELETE /api/admin/pauses": `{"success":true,"lifted":true,"still_paused":[]}`,
	})
	for _, verb := range []string{"pause", "resume"} {
		r := run(t, "", verb, "--server", a.URL, "--contexts", none)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, "say whose moves: --all, --client or --agent")
		require.Empty(t, a.asked)
	}
	r := run(t, "", "pause", "--all", "--for", "90m", "--server", a.URL, "--contexts", none)
	require.Equal(t, "paused until  2026-01-02 03:04:05Z\n", r.out, r.err)
	require.Equal(t, 0, run(t, "", "resume", "--all", "--server", a.URL, "--contexts", none).code)
	require.Equal(t, "DELETE /api/admin/pauses?scope=global", a.asked[1])
}

// TestAnOperationsIDMayHaveSlashes: it is one part of the path.
func TestAnOperationsIDMayHaveSlashes(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{"GET /api/operations/switch%2F1": `{"id":"switch/1","state":"succeeded","steps":[],"launches":[]}`})
	r := run(t, "", "ops", "show", "switch/1", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 0, r.code, r.err)
	require.Contains(t, r.out, "operation  switch/1")
}

// TestANameCannotPaintTheTerminal: names come from tenants.
func TestANameCannotPaintTheTerminal(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{"GET /api/fleet": strings.Replace(fleetOfOne, `"web"`, `"w\u001b[2J\te\u202eb"`, 1)})
	r := run(t, "", "agents", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.Contains(t, r.out, "w\ufffd[2J e\ufffdb")
	require.NotContains(t, r.out, "\x1b")

	a = serve(t, map[string]string{"GET /api/fleet": `503 {"code":"auth.unavailable","error":"no \u001b[2J such \u202etoken"}`})
	r = run(t, "", "agents", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.NotEqual(t, 0, r.code)
	require.NotContains(t, r.err, "\x1b")
	require.NotContains(t, r.err, "\u202e")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	answers := map[string]string{
		"GET /health":       `{"status":"healthy"}`,
		"GET /api/session":  `{"name":"ops","operator":true,"open":false,"session":false,"client_id":null}`,
		"GET /api/notices":  `{"notices":[],"next":null}`,
		"GET /api/overview": `{"agents":{"total":1,"online":1},"cost":{}}`,
		"GET /api/admin/dependencies": `{"dependencies":[{"name":"postgres","ok":true,"took_ms":1,"error":null},
			{"name":"schema","ok":true,"took_ms":1,"error":null}]}`,
		"GET /api/admin/schedules": `{"schedules":[]}`,
	}
	a := serve(t, answers)
	well := run(t, "", "doctor", "--server", a.URL, "--contexts", none)
	require.Equal(t, 0, well.code, well.out+well.err)
	require.Regexp(t, `(?m)^ok +postgres`, well.out)

	answers["GET /api/admin/dependencies"] = `{"dependencies":[{"name":"schema","ok":false,"took_ms":1,"error":"The schema is of version 150."}]}`
	ill := run(t, "", "doctor", "--server", a.URL, "--contexts", none)
	require.Equal(t, 1, ill.code)
	require.Regexp(t, `(?m)^failed +schema +The schema is of version 150\.`, ill.out)
	require.Contains(t, ill.out, "spotkeeper-worker migrate")
	require.Empty(t, ill.err, "the findings say it")
}

// TestDoctorNamesTheDatabaseFirst: an api whose database is away answers, and what comes from
// there is not asked for: each of those answers would be one more failure of the same cause.
func TestDoctorNamesTheDatabaseFirst(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{
		"GET /health":      `503 {"status":"unhealthy","database":"disconnected","error":"The database does not answer."}`,
		"GET /api/session": `{"name":"ops","operator":true,"open":false,"session":false,"client_id":null}`,
		"GET /api/admin/dependencies": `{"dependencies":[
			{"name":"postgres","ok":false,"took_ms":1,"error":"Nothing answers at 10.0.0.7:5432: connect: connection refused."},
			{"name":"schema","ok":true,"took_ms":1,"error":null}]}`,
	})
	r := run(t, "", "doctor", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 1, r.code)
	require.Regexp(t, `(?m)^warning +api +answers, and is not healthy: The database does not answer\.`, r.out)
	require.Regexp(t, `(?m)^failed +postgres +Nothing answers at 10\.0\.0\.7:5432`, r.out)
	require.Equal(t, 1, strings.Count(r.out, "failed"), r.out)
	require.Len(t, a.asked, 3)
}

// TestDoctorDoesNotBlameTheWorker for a Temporal that is away.
func TestDoctorDoesNotBlameTheWorker(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{
		"GET /health":                 `{"status":"healthy"}`,
		"GET /api/session":            `{"name":"ops","operator":true,"open":false,"session":false,"client_id":null}`,
		"GET /api/notices":            `{"notices":[],"next":null}`,
		"GET /api/overview":           `{"agents":{"total":1,"online":1},"cost":{}}`,
		"GET /api/admin/dependencies": `{"dependencies":[{"name":"temporal","ok":false,"took_ms":1,"error":"The workflow service is not available."}]}`,
	})
	r := run(t, "", "doctor", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 1, r.code)
	require.NotRegexp(t, `(?m)^\w+ +worker`, r.out)
	require.Regexp(t, `(?m)^ok +fleet`, r.out)
}

// TestDoctorWithATokenOfTheDatabase: while the api cannot look a token up, nothing is wrong
// with the token.
func TestDoctorWithATokenOfTheDatabase(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{
		"GET /health":      `503 {"status":"unhealthy","database":"disconnected","error":"The database does not answer."}`,
		"GET /api/session": `503 {"error":"The database is not available.","code":"postgres.unavailable"}`,
	})
	r := run(t, "", "doctor", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 1, r.code)
	require.Contains(t, r.out, "ask with ADMIN_TOKEN")
	require.NotContains(t, r.out, "context set")
}

// TestCompletion of a shell asks the API for names.
func TestCompletion(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{"GET /api/fleet": fleetOfOne})
	r := run(t, "", "__complete", "explain", "--server", a.URL, "--contexts", filepath.Join(t.TempDir(), "none"), "w")
	require.Contains(t, r.out, "web\n")
	require.Contains(t, run(t, "", "completion", "bash").out, "spotkeeper")
}

// TestInstancesJoinByATokenOfTheCommandLine, which prints it alone so that it can be piped;
// the client is found by its name.
func TestInstancesJoinByATokenOfTheCommandLine(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{
		"GET /api/admin/clients":             `[{"id":"c-1","name":"Acme"}]`,
		"POST /api/client/c-1/credentials":   `201 {"id":"k-1","kind":"enrolment","token":"enrol_1"}`,
		"PUT /api/admin/clients/c-1/account": `{"client_id":"c-1"}`,
		"GET /api/admin/clients/c-1/account": `{"client_id":"c-1","external_id":"x-1","own_account":true}`,
	})
	none := filepath.Join(t.TempDir(), "none")
	made := run(t, "", "clients", "enrol", "Acme", "--agent", "web", "--server", a.URL, "--contexts", none)
	require.Equal(t, result{out: "enrol_1\n"}, made)
	changed := run(t, "", "clients", "account", "Acme", "--own-account", "--server", a.URL, "--contexts", none)
	require.Zero(t, changed.code, changed.err)
	require.Contains(t, changed.out, "x-1")
	require.Contains(t, a.asked, "PUT /api/admin/clients/c-1/account")

	unknown := run(t, "", "clients", "enrol", "Acne", "--server", a.URL, "--contexts", none)
	require.Contains(t, unknown.err, "there is no client Acne: spotkeeper clients lists them")
}

// TestStandbyModes: each mode sets both of the API's switches, and an unknown one changes
// nothing.
func TestStandbyModes(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string]string{"GET /api/fleet": fleetOfOne, "POST /api/client/agents/a-1/config": `{"success":true}`})
	none := filepath.Join(t.TempDir(), "none")
	for mode, want := range map[string]string{
		"manual": `{"autoSwitchEnabled":false,"manualReplicaEnabled":true}`,
		"auto":   `{"autoSwitchEnabled":true,"manualReplicaEnabled":false}`,
		"off":    `{"autoSwitchEnabled":false,"manualReplicaEnabled":false}`,
	} {
		got := run(t, "", "standby", "web", mode, "--server", a.URL, "--contexts", none)
		require.Zero(t, got.code, got.err)
		require.JSONEq(t, want, a.body)
	}
	a.asked = nil
	wrong := run(t, "", "standby", "web", "always", "--server", a.URL, "--contexts", none)
	require.Contains(t, wrong.err, `a standby mode is manual, auto or off, not "always"`)
	require.Empty(t, a.asked)
}
