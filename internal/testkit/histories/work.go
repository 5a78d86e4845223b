package histories

import (
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
)

// Work is what a run has cost the server, in what it wrote and gave out.
type Work struct {
	Events     int
	Tasks      int // workflow tasks
	Activities int
	Timers     int
	Signals    int
	Updates    int
	Steps      int // local activities
}

// Add sums up.
func (w *Work) Add(o Work) {
	w.Events += o.Events
	w.Tasks += o.Tasks
	w.Activities += o.Activities
	w.Timers += o.Timers
	w.Signals += o.Signals
	w.Updates += o.Updates
	w.Steps += o.Steps
}

// WorkOf counts the events of a history.
func WorkOf(events []*history.HistoryEvent) Work {
	w := Work{Events: len(events)}
	for _, e := range events {
		switch e.GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			w.Tasks++
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			w.Activities++
		case enums.EVENT_TYPE_TIMER_STARTED:
			w.Timers++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			w.Signals++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
			w.Updates++
		case enums.EVENT_TYPE_MARKER_RECORDED:
			if e.GetMarkerRecordedEventAttributes().GetMarkerName() == "LocalActivity" {
				w.Steps++
			}
		}
	}
	return w
}
