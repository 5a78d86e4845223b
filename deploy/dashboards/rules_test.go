package dashboards

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"
)

// well are series of a deployment that is well: two apis, a worker, and a failover to a
// standby now and then.
const well = `
load 1m
	spotkeeper_process_info{process="api", instance="a1"} 1x200
	spotkeeper_process_info{process="worker", instance="w1"} 1x200
	spotkeeper_agents_online{instance="a1"} 10x200
	spotkeeper_agents_online{instance="w1"} 10x200
	spotkeeper_schedule_paused{instance="w1", job="orphan-sweep"} 0x200
	spotkeeper_certificate_expiry_timestamp_seconds{instance="a1", certificate="api"} 7776000x200
	spotkeeper_http_requests_total{instance="a1", status="200", route="/x"} 0+600x200
	spotkeeper_http_requests_total{instance="a1", status="503", route="/x"} 0+1x200
	spotkeeper_failovers_total{instance="a1", outcome="promoted", path="standby", door="http"} 0+1x200
	spotkeeper_failovers_total{instance="w1", outcome="promoted", path="standby", door="http"} 0+1x200
	spotkeeper_failovers_total{instance="w1", outcome="lost", path="none", door="http"} 0x200
	spotkeeper_failover_seconds_left_bucket{instance="w1", le="20"} 0x200
	spotkeeper_failover_seconds_left_count{instance="w1"} 0+1x200
	spotkeeper_failover_seconds_count{instance="w1", step="decided", path="standby"} 0+1x200
	spotkeeper_failover_seconds_bucket{instance="w1", step="decided", path="standby", le="2"} 0+1x200
	spotkeeper_failover_seconds_bucket{instance="w1", step="decided", path="standby", le="+Inf"} 0+1x200
`

// firing evaluates all rules each minute of some hours over series, and answers which
// alerts fire at the end, with the labels of one of their series.
func firing(t *testing.T, series string, hours int) map[string]labels.Labels {
	t.Helper()
	store := promqltest.LoadedStorage(t, series)
	engine := promqltest.NewTestEngine(t, false, 0, 1_000_000)
	manager := rules.NewManager(&rules.ManagerOptions{
		ExternalURL:  &url.URL{},
		QueryFunc:    rules.EngineQueryFunc(engine, store),
		NotifyFunc:   func(context.Context, string, ...*rules.Alert) {},
		Context:      t.Context(),
		AppendableV2: store,
		Queryable:    store,
		Logger:       slog.New(slog.DiscardHandler),
		Parser:       promQL,
	})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, "alerts.yaml")
	require.Empty(t, errs)
	order := []string{"spotkeeper-slo", "spotkeeper", "spotkeeper-burn"}
	require.Len(t, groups, len(order))
	for at := time.Unix(0, 0); !at.After(time.Unix(int64(hours)*3600, 0)); at = at.Add(time.Minute) {
		for _, name := range order {
			groups[rules.GroupKey("alerts.yaml", name)].Eval(t.Context(), at)
		}
	}
	out := map[string]labels.Labels{}
	for _, g := range groups {
		for _, r := range g.Rules() {
			require.NoError(t, r.LastError(), r.Name())
		}
		for _, r := range g.AlertingRules() {
			for _, a := range r.ActiveAlerts() {
				if a.State == rules.StateFiring {
					out[r.Name()] = a.Labels
				}
			}
		}
	}
	return out
}

// TestADeploymentThatIsWellIsQuiet: no alert fires.
func TestADeploymentThatIsWellIsQuiet(t *testing.T) {
	t.Parallel()
	require.Empty(t, firing(t, well, 2))
}

// TestAlertsFire: each on its own trouble, beside a deployment that is well.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	bad := func(lines string) string { return well + lines }
	for alert, x := range map[string]struct {
		series string
		also   []string // that rightly fire with it
		hours  int
	}{
		"SpotkeeperNoticesUndelivered": {series: bad("\tspotkeeper_notice_undelivered_age_seconds 40x200\n")},
		"SpotkeeperFailoverLost":       {series: bad("\tspotkeeper_notices_lost{instance=\"a1\"} 1x200\n")},
		"SpotkeeperAgentWithoutPrimary": {
			series: bad("\tspotkeeper_agents_without_primary 1x200\n")},
		"SpotkeeperAgentsOffline":          {series: bad("\tspotkeeper_agents_offline 1x200\n")},
		"SpotkeeperRetirementLate":         {series: bad("\tspotkeeper_retirements_late 1x200\n")},
		"SpotkeeperJobsFail":               {series: bad("\tspotkeeper_jobs_failed 1x200\n")},
		"SpotkeeperSchedulePaused":         {series: bad("\tspotkeeper_schedule_paused{job=\"monthly-savings\"} 1x200\n")},
		"SpotkeeperRescuePaused":           {series: bad("\tspotkeeper_schedule_paused{job=\"primary-watch\"} 1x200\n"), also: []string{"SpotkeeperSchedulePaused"}},
		"SpotkeeperEngineNotLoaded":        {series: bad("\tspotkeeper_engine_serves_what_it_should{instance=\"a1\"} 0x200\n")},
		"SpotkeeperCertificateExpires":     {series: bad("\tspotkeeper_certificate_expiry_timestamp_seconds{certificate=\"api\"} 864000x200\n")},
		"SpotkeeperCertificateExpiresSoon": {series: bad("\tspotkeeper_certificate_expiry_timestamp_seconds{certificate=\"api\"} 86400x200\n"), also: []string{"SpotkeeperCertificateExpires"}},
		"SpotkeeperWorkflowTasksFail": {
			series: bad("\ttemporal_workflow_task_execution_failed_total{workflow_type=\"Guardian\", failure_reason=\"X\"} 0+1x200\n")},
		"SpotkeeperWorkerAbsent": {series: without(`spotkeeper_process_info{process="worker"`)},
		"SpotkeeperApiAbsent":    {series: without(`spotkeeper_process_info{process="api"`)},
		"SpotkeeperFleetUnknown": {series: without(`spotkeeper_agents_online`)},
		"SpotkeeperPostgresShort": {
			series: bad("\tspotkeeper_postgres_shortages_total{instance=\"a1\"} 0+2x200\n")},
		"SpotkeeperTemporalAway": {series: without(`spotkeeper_schedule_paused`)},
		"SpotkeeperHTTPErrors": {
			series: bad("\tspotkeeper_http_requests_total{instance=\"a2\", status=\"500\", route=\"/y\"} 0+60x200\n")},
		"SpotkeeperHTTPSlow": {series: bad(`	spotkeeper_http_request_seconds_bucket{route="/x", le="2"} 0+90x200
	spotkeeper_http_request_seconds_bucket{route="/x", le="5"} 0+100x200
	spotkeeper_http_request_seconds_bucket{route="/x", le="+Inf"} 0+100x200
`)},
		"SpotkeeperFailoverSlow": {series: bad(`	spotkeeper_failover_seconds_bucket{step="decided", path="launch", le="75"} 0x200
	spotkeeper_failover_seconds_bucket{step="decided", path="launch", le="120"} 0+1x200
	spotkeeper_failover_seconds_bucket{step="decided", path="launch", le="+Inf"} 0+1x200
	spotkeeper_failover_seconds_bucket{step="decided", path="standby", le="75", instance="w1"} 0+1x200
	spotkeeper_failover_seconds_bucket{step="decided", path="standby", le="120", instance="w1"} 0+1x200
`)},
		"SpotkeeperLaunchesRefused": {series: bad(`	spotkeeper_launch_attempts_total{pool="p", mode="spot", result="launched"} 0+1x200
	spotkeeper_launch_attempts_total{pool="p", mode="spot", result="launch.no_capacity"} 0+3x200
`)},
		"SpotkeeperLossesUnannounced": {
			series: bad("\tspotkeeper_failovers_total{outcome=\"promoted\", path=\"launch\", door=\"sweep\"} 0+1x200\n")},
		"SpotkeeperEventsLate": {series: bad(`	spotkeeper_event_age_seconds_bucket{kind="notice", le="10"} 0+1x200
	spotkeeper_event_age_seconds_bucket{kind="notice", le="30"} 0+9x200
	spotkeeper_event_age_seconds_bucket{kind="notice", le="+Inf"} 0+9x200
`)},
		"SpotkeeperBudgetBurnsFast": {
			series: bad("\tspotkeeper_failovers_total{instance=\"a1\", outcome=\"lost\", path=\"none\", door=\"eventbridge\"} 0+1x200\n"),
			also:   []string{"SpotkeeperBudgetBurns", "SpotkeeperBudgetBurnsSlowly"}},
		"SpotkeeperBudgetBurns": {
			series: bad("\tspotkeeper_failovers_total{instance=\"a1\", outcome=\"lost\", path=\"none\", door=\"eventbridge\"} 0+0.1x200\n"),
			also:   []string{"SpotkeeperBudgetBurnsSlowly"}},
		"SpotkeeperBudgetBurnsSlowly": {
			series: bad("\tspotkeeper_failovers_total{instance=\"a1\", outcome=\"lost\", path=\"none\", door=\"eventbridge\"} 0+0.02x200\n")},
	} {
		t.Run(alert, func(t *testing.T) {
			t.Parallel()
			fires := firing(t, x.series, 3)
			require.Contains(t, fires, alert)
			for name := range fires {
				require.Contains(t, append(x.also, alert), name)
			}
		})
		covered[alert] = true
	}
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			require.True(t, r.Alert == "" || covered[r.Alert], "no test sees %s fire", r.Alert)
		}
	}
}

var covered = map[string]bool{}

// TestBurnRatesNameTheServiceLevel, for each of them.
func TestBurnRatesNameTheServiceLevel(t *testing.T) {
	t.Parallel()
	for slo, lines := range map[string]string{
		"heir": "\tspotkeeper_failovers_total{outcome=\"lost\", path=\"none\", door=\"sweep\", instance=\"a1\"} 0x200\n" +
			"\tspotkeeper_failovers_total{outcome=\"lost\", path=\"none\", door=\"describe\", instance=\"a1\"} 0+1x200\n",
		"time-left": "\tspotkeeper_failover_seconds_left_bucket{le=\"20\", instance=\"a1\"} 0+0.9x200\n",
		"answer": "\tspotkeeper_failover_seconds_count{step=\"decided\", path=\"standby\", instance=\"a1\"} 0+2x200\n" +
			"\tspotkeeper_failover_seconds_bucket{step=\"decided\", path=\"standby\", le=\"2\", instance=\"a1\"} 0+1x200\n",
	} {
		fires := firing(t, well+lines, 2)
		require.Contains(t, fires, "SpotkeeperBudgetBurnsFast")
		require.Equal(t, slo, fires["SpotkeeperBudgetBurnsFast"].Get("slo"))
	}
}

// without is a deployment that lacks some series.
func without(prefix string) string {
	var kept strings.Builder
	for line := range strings.Lines(well) {
		if !strings.HasPrefix(strings.TrimSpace(line), prefix) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
