package dashboards

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// promQL is Prometheus's own parser, as a server has it by default.
var promQL = parser.NewParser(parser.Options{})

func ruleGroups(t *testing.T) []rulefmt.RuleGroup {
	t.Helper()
	groups, errs := rulefmt.ParseFile("alerts.yaml", false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	return groups.Groups
}

// expressions are all of the rules and of the board, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, g := range ruleGroups(t) {
		for i, r := range g.Rules {
			all["rule "+r.Alert+r.Record+" "+string(rune('a'+i))] = r.Expr
		}
	}
	content, err := os.ReadFile("spotkeeper.json")
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
	}
	require.NoError(t, json.Unmarshal(content, &board))
	ids := map[int]bool{}
	for _, p := range board.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for _, target := range p.Targets {
			// Grafana puts its own step there.
			all["panel "+p.Title+" "+target.RefID] = strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		}
	}
	require.Greater(t, len(all), 60)
	return all
}

// exported are our metrics with their labels, as docs/metrics.md lists them; a test of
// internal/app holds that page to what api and worker register.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	all := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(spotkeeper_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		var names []string
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(m[3], -1) {
			names = append(names, l[1])
		}
		if m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				all[m[1]+part] = append(slices.Clone(names), "le")
			}
			continue
		}
		all[m[1]] = names
	}
	require.Greater(t, len(all), 40)
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			if r.Record != "" {
				all[r.Record] = []string{"slo"}
			}
		}
	}
	return all
}

// temporalMetrics are those of the SDK that rules and the board use, with their labels as
// internal/temporalx keeps them. A test of the whole stack looks for them at a worker.
var temporalMetrics = map[string][]string{
	"temporal_workflow_task_execution_failed_total":                   {"workflow_type", "failure_reason"},
	"temporal_activity_execution_failed_total":                        {"activity_type"},
	"temporal_workflow_task_schedule_to_start_latency_seconds_bucket": {"le", "task_queue"},
	"temporal_worker_task_slots_used":                                 {"worker_type"},
	"temporal_worker_task_slots_available":                            {"worker_type"},
}

// TestEveryMetricAndLabelExists: in an expression one that does not is no error, only
// empty, and an alert over it never fires.
func TestEveryMetricAndLabelExists(t *testing.T) {
	t.Parallel()
	known := exported(t)
	for name, has := range temporalMetrics {
		known[name] = has
	}
	for where, text := range expressions(t) {
		expr, err := promQL.ParseExpr(text)
		require.NoError(t, err, where)
		may := map[string]bool{}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			selector, ok := node.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			has, there := known[selector.Name]
			require.True(t, there, "%s: no process exports %s", where, selector.Name)
			for _, l := range has {
				may[l] = true
			}
			for _, m := range selector.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					require.Contains(t, has, m.Name, "%s: %s has no such label", where, selector.Name)
				}
			}
			return nil
		})
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			var by []string
			switch n := node.(type) {
			case *parser.AggregateExpr:
				by = n.Grouping
			case *parser.BinaryExpr:
				if n.VectorMatching != nil {
					by = n.VectorMatching.MatchingLabels
				}
			}
			for _, l := range by {
				require.True(t, may[l], "%s: nothing in it has the label %s", where, l)
			}
			return nil
		})
	}
}

// TestEveryAlertHasARunbook, a severity and a sentence.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	runbooks, err := os.ReadFile("../runbooks/README.md")
	require.NoError(t, err)
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			require.Contains(t, string(runbooks), "`"+r.Alert+"`")
			require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		}
	}
}
