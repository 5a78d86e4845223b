package workflows_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"

	"spotkeeper/internal/testkit/histories"
)

// TestTheWorkOfAFailover counts what the workflows of a failover to a ready standby cost
// a server, in what a real one recorded. The replay tests hold that the code does what
// was recorded. Each workflow task, activity and timer is a few milliseconds of server
// CPU, a thousand times in a storm. A change that makes a number grow needs a reason.
func TestTheWorkOfAFailover(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		kind string
		is   func(*history.History) bool
		most histories.Work
	}{
		"the next standby: launched, held, and promoted one day": {
			kind: "replica",
			is: func(h *history.History) bool {
				return endsAs(h, `"state":"promoted"`) && scheduled(h, "LaunchInstance") == 1 &&
					scheduled(h, "AwaitUp") == 1 && cancelled(h) == 0
			},
			most: histories.Work{Events: 33, Tasks: 4, Activities: 2, Timers: 1, Signals: 1, Steps: 10},
		},
		"a Guardian that a wake starts": {
			kind: "guardian",
			is: func(h *history.History) bool {
				w := histories.WorkOf(h.GetEvents())
				return w.Updates == 0 && w.Signals > 0
			},
			most: histories.Work{Events: 13, Tasks: 1, Signals: 1, Steps: 7},
		},
		"a Termination whose notice was answered at once": {
			kind: "termination",
			is: func(h *history.History) bool {
				return endsAs(h, `"result":"promoted"`) && scheduled(h, "AwaitGone") == 0
			},
			most: histories.Work{Events: 15, Tasks: 2, Timers: 1, Steps: 5},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			recorded, err := histories.Load(filepath.Join("testdata", "histories", tt.kind))
			require.NoError(t, err)
			var cheapest *histories.Work
			for _, h := range recorded {
				if !tt.is(h) {
					continue
				}
				if w := histories.WorkOf(h.GetEvents()); cheapest == nil || w.Events < cheapest.Events {
					cheapest = &w
				}
			}
			require.NotNil(t, cheapest, "none was recorded: make histories")
			require.LessOrEqual(t, cheapest.Events, tt.most.Events, "events")
			require.LessOrEqual(t, cheapest.Tasks, tt.most.Tasks, "workflow tasks")
			require.LessOrEqual(t, cheapest.Activities, tt.most.Activities, "activities")
			require.LessOrEqual(t, cheapest.Timers, tt.most.Timers, "timers")
			require.LessOrEqual(t, cheapest.Signals, tt.most.Signals, "signals")
			require.LessOrEqual(t, cheapest.Steps, tt.most.Steps, "local steps")
		})
	}
}

// endsAs says whether the run completed with a result that has these words.
func endsAs(h *history.History, words string) bool {
	last := h.GetEvents()[len(h.GetEvents())-1].GetWorkflowExecutionCompletedEventAttributes()
	for _, p := range last.GetResult().GetPayloads() {
		if strings.Contains(string(p.GetData()), words) {
			return true
		}
	}
	return false
}

func scheduled(h *history.History, activity string) (n int) {
	for _, e := range h.GetEvents() {
		if e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == activity {
			n++
		}
	}
	return n
}

func cancelled(h *history.History) (n int) {
	for _, e := range h.GetEvents() {
		if e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED {
			n++
		}
	}
	return n
}
