package temporalx

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// Schedule is one scheduled workflow, as the code defines it.
type Schedule struct {
	ID       string        // of the schedule and, with the time appended, of its runs
	Cron     string        // UTC, five fields
	CatchUp  time.Duration // how late a missed run may still start
	Timeout  time.Duration // of one run
	Note     string        // what it does, for operators
	Workflow any           // the workflow function
	Args     []any
	Queue    string
	Reason   temporal.SearchAttributeKeyKeyword // set to the schedule's ID; the zero key sets none
}

// Reconciled says what ReconcileSchedules did. Removed are schedules of ours
// that the code no longer has: they are reported, and left for a person.
type Reconciled struct{ Created, Updated, Removed []string }

// ReconcileSchedules makes the server's schedules those of the code. It creates
// what is missing and updates what is there; an operator's pause and its note
// survive, as does the history of runs. prefix names the schedules that are ours.
func ReconcileSchedules(
	ctx context.Context,
	sc client.ScheduleClient,
	prefix string,
	want []Schedule,
) (*Reconciled, error) {
	done := &Reconciled{}
	for _, w := range want {
		_, err := sc.Create(ctx, w.options())
		switch {
		case err == nil:
			done.Created = append(done.Created, w.ID)
		case isThere(err):
			if err := w.update(ctx, sc); err != nil {
				return done, err
			}
			done.Updated = append(done.Updated, w.ID)
		default:
			return done, err
		}
	}
	there, err := sc.List(ctx, client.ScheduleListOptions{PageSize: 100})
	if err != nil {
		return done, err
	}
	for there.HasNext() {
		s, err := there.Next()
		if err != nil {
			return done, err
		}
		if strings.HasPrefix(s.ID, prefix) &&
			!slices.ContainsFunc(want, func(w Schedule) bool { return w.ID == s.ID }) {
			done.Removed = append(done.Removed, s.ID)
		}
	}
	return done, nil
}

func (s Schedule) options() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID: s.ID, Spec: s.spec(), Action: s.action(), Note: s.Note, PauseOnFailure: false,
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: s.CatchUp, TypedSearchAttributes: s.attributes(),
	}
}

func (s Schedule) spec() client.ScheduleSpec {
	return client.ScheduleSpec{CronExpressions: []string{s.Cron}, TimeZoneName: "UTC"}
}

func (s Schedule) action() *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: s.ID, Workflow: s.Workflow, Args: s.Args, TaskQueue: s.Queue, WorkflowExecutionTimeout: s.Timeout,
		TypedSearchAttributes: s.attributes(), StaticSummary: s.Note,
	}
}

func (s Schedule) attributes() temporal.SearchAttributes {
	if s.Reason.GetName() == "" {
		return temporal.NewSearchAttributes()
	}
	return temporal.NewSearchAttributes(s.Reason.ValueSet(s.ID))
}

// update replaces what the code decides and keeps what operators decide.
func (s Schedule) update(ctx context.Context, sc client.ScheduleClient) error {
	return sc.GetHandle(ctx, s.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			next := in.Description.Schedule
			spec, state := s.spec(), next.State
			if state == nil {
				state = &client.ScheduleState{}
			}
			if !state.Paused {
				state.Note = s.Note
			}
			attributes := s.attributes()
			next.Spec, next.Action, next.State = &spec, s.action(), state
			next.Policy = &client.SchedulePolicies{
				Overlap:       enums.SCHEDULE_OVERLAP_POLICY_SKIP,
				CatchupWindow: s.CatchUp,
			}
			return &client.ScheduleUpdate{Schedule: &next, TypedSearchAttributes: &attributes}, nil
		},
	})
}

func isThere(err error) bool {
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return true
	}
	_, there := errors.AsType[*serviceerror.AlreadyExists](err)
	return there
}
