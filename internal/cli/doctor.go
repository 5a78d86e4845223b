package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// finding is what one check found. Result is ok, warning or failed.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
	Repair string `json:"repair,omitempty"`
}

// The results of a check.
const (
	passed  = "ok"
	warning = "warning"
	failed  = "failed"
)

// examination collects findings in the order of their checks.
type examination struct{ findings []finding }

func (e *examination) add(check, result, detail, repair string) {
	e.findings = append(e.findings, finding{check, result, detail, repair})
}

// fail adds a failed check when err is one, and says whether it was.
func (e *examination) fail(check string, err error, repair string) bool {
	if err != nil {
		e.add(check, failed, err.Error(), repair)
	}
	return err != nil
}

// doctor looks for what keeps a control plane, or one client's fleet, from working.
func (p *program) doctor() *cobra.Command {
	return p.command("doctor", "Look for what keeps the fleet from working, and say how to mend it", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			e := &examination{}
			e.examine(c.Context(), api, p.target.Client)
			return p.report(c, e)
		})
}

// report prints findings, and fails when one of them has.
func (p *program) report(c *cobra.Command, e *examination) error {
	err := p.print(c, e.findings, func(t *table) {
		for _, f := range e.findings {
			t.row(f.Result, f.Check, f.Detail)
			if f.Repair != "" {
				t.row(" ", " ", "-> "+f.Repair)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, f := range e.findings {
		if f.Result == failed {
			return errFailed
		}
	}
	return nil
}

func (e *examination) examine(ctx context.Context, api *client.ClientWithResponses, clientID string) {
	if !e.reach(ctx, api) {
		return
	}
	caller, err := answer(api.GetSessionWithResponse(ctx))
	if e.fail("token", err, tokenRepair(err)) {
		return
	}
	who := "operator " + caller.Name
	if !caller.Operator {
		who = "client " + caller.Name
	}
	e.add("token", passed, who, "")
	if caller.Operator {
		down := e.dependencies(ctx, api)
		if down["postgres"] || down["schema"] || down["installation"] {
			return // all further answers come from there
		}
		if !down["temporal"] {
			e.jobs(ctx, api)
		}
	} else {
		clientID = text(caller.ClientId)
	}
	e.events(ctx, api, clientID)
	e.fleet(ctx, api, clientID)
	if clientID == "" {
		return
	}
	if caller.Operator {
		e.account(ctx, api, clientID)
	}
	e.permissions(ctx, api, clientID)
}

// tokenRepair is what to do about a token that was not accepted.
func tokenRepair(err error) string {
	if r, ok := errors.AsType[*refused](err); ok && r.status == http.StatusServiceUnavailable {
		return "a dependency of the api is unavailable, and this token is in the database: ask with ADMIN_TOKEN, or look at the api's log"
	}
	return "give one with --token-file, or keep it: spotkeeper context set"
}

// skew is how far clocks may differ before deadlines and signatures suffer.
const skew = 10 * time.Second

// reach asks for the version, which needs no more than an api.
func (e *examination) reach(ctx context.Context, api *client.ClientWithResponses) bool {
	resp, err := api.HealthWithResponse(ctx)
	if r, ok := errors.AsType[*refused](err); ok && r.status == http.StatusServiceUnavailable {
		e.add("api", warning, "answers, and is not healthy: "+r.Error(), "")
		return true
	}
	if e.fail("api", err, "check --server, the network between, and that the api runs") {
		return false
	}
	e.add("api", passed, "answers", "")
	there, err := time.Parse(time.RFC1123, resp.HTTPResponse.Header.Get("Date"))
	if err != nil {
		return true
	}
	if d := time.Since(there).Abs(); d > skew+time.Second {
		e.add("own clock", warning, fmt.Sprintf("this machine and the api differ by %s", d.Round(time.Second)),
			"synchronise both with NTP: deadlines are times")
	} else {
		e.add("own clock", passed, "this machine and the api agree", "")
	}
	return true
}

// repairs are by name of the dependency.
var repairs = map[string]string{
	"postgres":          "check DATABASE_URL of the api and that Postgres takes connections",
	"schema":            "run: spotkeeper-worker migrate",
	"schema_ahead":      "finish the upgrade: start this process from the new version",
	"clock":             "synchronise the machines of the api and of Postgres with NTP",
	"certificates":      "replace the file: it is read again while the process runs; new authorities need a restart",
	"temporal":          "check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the API key or certificate",
	"postgres_room":     "give Postgres what the sentence names; nothing has to be restarted",
	"secrets":           "add the missing key to SECRET_KEYS; spotkeeper-worker rekey seals all with the first one",
	"search_attributes": "make them of the type Keyword: temporal operator search-attribute create",
	"engine":            "the message names the library or file; or roll the model back",
	"installation":      "database and Temporal namespace belong to two installations: correct one of the addresses",
}

// dependencies answers those that do not work.
func (e *examination) dependencies(ctx context.Context, api *client.ClientWithResponses) (down map[string]bool) {
	down = map[string]bool{}
	list, err := answer(api.ListDependenciesWithResponse(ctx))
	if e.fail("dependencies", err, "") {
		return down
	}
	for _, d := range list.Dependencies {
		switch {
		case d.Ok:
			e.add(d.Name, passed, fmt.Sprintf("answers in %.0f ms", d.TookMs), "")
		case d.Degrades:
			e.add(d.Name, warning, text(d.Error), repairs[d.Name])
		default:
			down[d.Name] = true
			e.add(d.Name, failed, text(d.Error), repairs[d.Name])
		}
	}
	return down
}

// jobs shows that a worker runs: without one no schedule has been made, and no run ends.
func (e *examination) jobs(ctx context.Context, api *client.ClientWithResponses) {
	list, err := answer(api.ListSchedulesWithResponse(ctx))
	if e.fail("worker", err, "start a worker, and check that it reaches the same Temporal") {
		return
	}
	bad := 0
	var ran time.Time
	for _, s := range list.Schedules {
		switch {
		case s.Absent != nil && *s.Absent:
			bad++
			e.add("job "+s.Id, failed, "no worker has made its schedule", "start a worker with WORKER_SCHEDULES=true")
		case s.Paused:
			bad++
			e.add("job "+s.Id, warning, "paused: "+text(s.Reason), "mend what it names, then resume it in the console")
		case len(s.LastRuns) > 0 && s.LastRuns[0].State == "failed":
			bad++
			e.add("job "+s.Id, warning, "its last run failed: "+text(s.LastRuns[0].Error), "")
		}
		for _, r := range s.LastRuns {
			if r.EndedAt != nil && r.EndedAt.After(ran) {
				ran = *r.EndedAt
			}
		}
	}
	switch {
	case ran.IsZero():
		e.add("worker", warning, "no scheduled job has ended yet", "wait five minutes; then look at the worker's log")
	case time.Since(ran) > 15*time.Minute:
		e.add("worker", failed, "the last job ended at "+at(ran), "start a worker; its log says what it waits for")
	default:
		e.add("worker", passed, fmt.Sprintf("runs jobs, %d of them troubled", bad), "")
	}
}

// events says whether AWS's events arrive. The api does not know the worker's queues;
// what came through them it does.
func (e *examination) events(ctx context.Context, api *client.ClientWithResponses, clientID string) {
	one, queue := 1, client.ListNoticesParamsDoor("eventbridge")
	list, err := answer(api.ListNoticesWithResponse(ctx, &client.ListNoticesParams{
		ClientId: given[string](clientID), Door: &queue, Limit: &one}))
	if e.fail("events", err, "") {
		return
	}
	if len(list.Notices) == 0 {
		e.add("events", warning, "no notice has come through an events queue yet",
			"EVENTS_QUEUE_URL of the worker, and the EventBridge rules in each account; agents' notices do not need them")
		return
	}
	e.add("events", passed, "the last one came at "+at(list.Notices[0].ArrivedAt), "")
}

func (e *examination) fleet(ctx context.Context, api *client.ClientWithResponses, clientID string) {
	o, err := answer(api.GetOverviewWithResponse(ctx, &client.GetOverviewParams{ClientId: given[string](clientID)}))
	if e.fail("fleet", err, "") {
		return
	}
	for _, f := range []struct {
		n              int
		result, detail string
		repair         string
	}{
		{o.Agents.WithoutPrimary, failed, "enabled agents have no primary", "spotkeeper agents --needs primary"},
		{o.Agents.Offline, warning, "enabled agents are silent", "spotkeeper agents --status offline"},
		{o.Agents.WithoutStandby, warning, "agents lack the standby that they keep", "spotkeeper agents --needs standby"},
		{o.OperationsFailedLastDay, warning, "operations failed in the last day", "spotkeeper ops --state failed"},
	} {
		if f.n > 0 {
			e.add("fleet", f.result, fmt.Sprintf("%d %s", f.n, f.detail), f.repair)
		}
	}
	if o.NoticesUndelivered > 0 && o.OldestUndeliveredSeconds > 30 {
		e.add("notices", failed, fmt.Sprintf("%d notices are judged by no Guardian, the oldest for %.0f s",
			o.NoticesUndelivered, o.OldestUndeliveredSeconds), "Temporal or the worker is away")
	}
	e.add("fleet", passed, fmt.Sprintf("%d agents, %d online, %d standbys, %.2f USD/h", o.Agents.Total,
		o.Agents.Online, o.Standbys, o.Cost.Hourly), "")
}

func (e *examination) account(ctx context.Context, api *client.ClientWithResponses, clientID string) {
	a, err := answer(api.ShowClientAccountWithResponse(ctx, clientID))
	if e.fail("role", err, "") {
		return
	}
	switch {
	case a.RoleArn == "" && !a.OwnAccount:
		e.add("role", failed, "the client has no role", "make a role that trusts the control plane with the external id "+
			a.ExternalId+", and set it: spotkeeper clients account "+clientID+" --role ARN")
	case a.RoleArn != "":
		e.add("role", passed, a.RoleArn, "")
	default:
		e.add("role", passed, "the client lives in the control plane's account", "")
	}
	if a.Unproven > 0 {
		e.add("instances", warning, fmt.Sprintf("%d instances are not proven to be the client's, so nothing is done for them", a.Unproven),
			"spotkeeper agents show AGENT says why")
	}
}

// permissions runs the check of every agent: what its role may, its template, its zones.
func (e *examination) permissions(ctx context.Context, api *client.ClientWithResponses, clientID string) {
	agents, err := pages(1000, func(limit *int, after *string) ([]client.FleetAgent, *string, error) {
		page, err := answer(api.ListFleetWithResponse(ctx, &client.ListFleetParams{ClientId: &clientID, Limit: limit, After: after}))
		if err != nil {
			return nil, nil, err
		}
		return page.Agents, page.Next, nil
	})
	if e.fail("agents", err, "") {
		return
	}
	for _, agent := range agents {
		run := true
		out, err := answer(api.GetPreflightWithResponse(ctx, agent.Id, &client.GetPreflightParams{Run: &run}))
		if e.fail("agent "+agent.Name, err, "") {
			continue
		}
		if out.Result == passed {
			e.add("agent "+agent.Name, passed, fmt.Sprintf("%d checks at EC2", len(out.Checks)), "")
		}
		for _, check := range out.Checks {
			switch check.Result {
			case passed:
			case failed:
				e.add("agent "+agent.Name, failed, check.Name+": "+text(check.Detail), text(check.Repair))
			default:
				e.add("agent "+agent.Name, warning, check.Name+": "+text(check.Detail), text(check.Repair))
			}
		}
	}
}
