// Package rollout has the workflow that lets a decision model earn its place in stages,
// and the messages it takes.
package rollout

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/workflows/steps"
)

// Messages of a ModelRollout: updates by name, one signal without a fact, and the
// query progress.
const (
	UpdateBegin    = "begin" // answers once the session serves some agents, or was refused
	UpdatePromote  = "promote"
	UpdatePause    = "pause"
	UpdateResume   = "resume"
	UpdateAbort    = "abort"
	UpdateRollBack = "rollback"
	SignalNudge    = "nudge" // carries no fact: look at the guards
	QueryProgress  = "progress"
)

// Input starts a ModelRollout.
type Input struct {
	SessionID string       `json:"session_id"`
	Plan      mlmodel.Plan `json:"plan"`
	By        string       `json:"by,omitempty"`
	RequestID string       `json:"request_id,omitempty"` // of the begin that started it
	// FromRow says that the row is open and its workflow was missing: the plan and how
	// far the rollout was are read from it.
	FromRow bool `json:"from_row,omitempty"`
	// Carried is how far the run before was: a long rollout continues as new.
	Carried *Progress `json:"carried,omitempty"`
}

// Command is what an operator, or the begin that started it, says.
type Command struct {
	By        string `json:"by,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Progress is how a rollout stands.
type Progress struct {
	SessionID  string                     `json:"session_id"`
	Phase      mlmodel.Phase              `json:"phase"`
	Percent    int                        `json:"percent"`
	Paused     bool                       `json:"paused"`
	Detail     string                     `json:"detail"`
	Stage      int                        `json:"stage"` // the index in the plan's stages
	StageSince time.Time                  `json:"stage_since"`
	Elapsed    time.Duration              `json:"elapsed"` // of the stage, without pauses
	Plan       mlmodel.Plan               `json:"plan"`
	Validation *activities.Validation     `json:"validation,omitempty"`
	Readings   mlmodel.Readings           `json:"readings"`
	Timeline   []activities.TimelineEntry `json:"timeline"`
	Code       string                     `json:"code,omitempty"`
	Error      string                     `json:"error,omitempty"`
}

// rollout is one run's memory. Only the loop of run changes its phase. Handlers queue
// their commands and wait until they are done.
type rollout struct {
	in        Input
	progress  Progress
	queue     []*order
	nudged    bool
	announced bool   // the first stage has begun
	ended     bool   // nothing is taken any more
	failure   error  // why it was refused
	owed      *order // a promotion that is answered when the next stage has begun
	blind     bool   // the last look at the guards failed
}

// order is a command that waits for the loop.
type order struct {
	what, by string
	done     bool
}

// ModelRollout lets a session earn its way: validate, shadow, canary steps, live.
// Its guards, an abort and a rollback lead back to what was there before. The row
// in Postgres says what processes serve; this workflow moves it. Another rollout
// that only watches is left alone until this one takes its first stage.
func ModelRollout(ctx workflow.Context, in Input) (*Progress, error) {
	r := &rollout{
		in: in,
		progress: Progress{
			SessionID: in.SessionID,
			Phase:     mlmodel.Validating,
			Plan:      in.Plan,
			Timeline:  []activities.TimelineEntry{},
		},
	}
	if in.Carried != nil {
		r.progress, r.announced = *in.Carried, true
	}
	if err := r.listen(ctx); err != nil {
		return nil, err
	}
	if in.FromRow && in.Carried == nil {
		if ended, err := r.resumeFromRow(ctx); ended || err != nil {
			return &r.progress, err
		}
		in = r.in
	}
	next, err := r.run(ctx)
	if err != nil {
		return nil, err
	}
	if next {
		in.Carried = &r.progress
		return nil, workflow.NewContinueAsNewError(ctx, ModelRollout, in)
	}
	r.ended = true
	// The task that ends a run must not carry an answer: see doc.go.
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	for settled := false; !settled; settled = workflow.AllHandlersFinished(ctx) {
		if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
			return nil, err
		}
		if err := steps.Sleep(ctx, time.Second, "end once no answer is on its way"); err != nil {
			return nil, err
		}
	}
	return &r.progress, nil
}

// listen registers the rollout's message handlers; call it before anything blocks.
func (r *rollout) listen(ctx workflow.Context) error {
	if err := workflow.SetQueryHandler(ctx,
		QueryProgress, func() (Progress, error) { return r.progress, nil }); err != nil {
		return err
	}
	steps.OnSignal(ctx, SignalNudge, func() { r.nudged = true })
	err := workflow.SetUpdateHandler(ctx,
		UpdateBegin, func(ctx workflow.Context, in Command) (*Progress, error) {
			if in.RequestID != r.in.RequestID {
				if r.ended {
					return nil, steps.Ended.New("the rollout of session %s has just ended", r.in.SessionID)
				}
				return nil, mlmodel.Busy.New("A rollout of session %s is under way already", r.in.SessionID)
			}
			if err := workflow.Await(ctx, func() bool { return r.announced || r.ended }); err != nil {
				return nil, err
			}
			if r.failure != nil {
				return nil, r.failure
			}
			answer := r.progress
			return &answer, nil
		})
	for _, what := range []string{UpdatePromote, UpdatePause, UpdateResume, UpdateAbort, UpdateRollBack} {
		if err == nil {
			err = workflow.SetUpdateHandler(ctx,
				what, func(ctx workflow.Context, in Command) (*Progress, error) {
					return r.queueCommand(ctx, what, in)
				})
		}
	}
	return err
}

// queueCommand queues a command and waits until the loop has done it.
func (r *rollout) queueCommand(ctx workflow.Context, what string, in Command) (*Progress, error) {
	if err := r.checkPhase(what); err != nil {
		return nil, err
	}
	o := &order{what: what, by: in.By}
	r.queue = append(r.queue, o)
	if err := workflow.Await(ctx, func() bool { return o.done || r.ended }); err != nil {
		return nil, err
	}
	if !o.done {
		return nil, r.checkPhase(what) // it ended before the command's turn
	}
	answer := r.progress
	return &answer, nil
}

// checkPhase says whether a command fits the phase. Fails with mlmodel.wrong_phase.
func (r *rollout) checkPhase(what string) error {
	p := r.progress.Phase
	switch {
	case r.ended || p.Ended():
		return mlmodel.WrongPhase.New("The rollout has ended: %s", p)
	case what == UpdateRollBack && !p.Touching():
		return mlmodel.WrongPhase.New("The session decides for no agent yet: abort it instead")
	case p == mlmodel.Validating && what != UpdateAbort:
		return mlmodel.WrongPhase.New("The session is still being validated: it can only be aborted")
	}
	return nil
}

// next takes the oldest command off the queue.
func (r *rollout) next() *order {
	if len(r.queue) == 0 {
		return nil
	}
	o := r.queue[0]
	r.queue = r.queue[1:]
	return o
}

// run is the loop. It says whether the rollout continues in another run.
func (r *rollout) run(ctx workflow.Context) (carriedOn bool, err error) {
	if r.in.Carried == nil {
		if refused := r.validate(ctx); refused || r.progress.Phase.Ended() {
			return false, nil
		}
	}
	stages := r.in.Plan.Stages()
	for r.progress.Stage < len(stages) {
		stage := stages[r.progress.Stage]
		if r.in.Carried == nil || r.progress.Phase != stage.Phase || r.progress.Percent != stage.Percent {
			if err := r.enterStage(ctx, stage); err != nil {
				return false, r.lost(ctx, err)
			}
		}
		switch end := r.stayInStage(ctx, stage); end.how {
		case goOn:
			r.progress.Stage++
			if r.progress.Stage == len(stages) {
				return false, r.close(ctx, mlmodel.Completed, "the session has earned its place", end)
			}
			r.owed = end.by
		case carryOn:
			return true, nil
		case goBack:
			return false, r.rollBack(ctx, end)
		case gone:
			r.gaveWay(ctx)
			return false, nil
		}
		r.in.Carried = nil
	}
	return false, nil
}

// validate opens the row and tries the session; an abort meanwhile takes effect. It
// says whether the rollout ended.
func (r *rollout) validate(ctx workflow.Context) bool {
	var local *activities.Rollouts
	r.addLine(ctx, "its files are being validated")
	if err := steps.RunLocal(ctx, "open the rollout", local.OpenRollout, activities.OpenRollout{
		SessionID: r.in.SessionID,
		Plan:      r.in.Plan,
		By:        r.in.By,
	}).Get(ctx, nil); err != nil {
		r.closeRefused(ctx, err)
		return true
	}
	trial, stop := workflow.WithCancel(ctx)
	defer stop()
	tried := steps.RunActivity(trial, validatePolicy, "load it and run a back-test", local.ValidateSession, r.in.SessionID)
	if err := workflow.Await(ctx, func() bool { return tried.IsReady() || len(r.queue) > 0 }); err != nil {
		_ = r.close(ctx, mlmodel.Aborted, "cancelled while it was validated", verdict{})
		return true
	}
	if o := r.next(); o != nil { // the only command that is allowed here
		stop()
		_ = r.close(ctx, mlmodel.Aborted, "aborted by "+orSomebody(o.by)+" while it was validated", verdict{by: o})
		return true
	}
	v := &activities.Validation{}
	if err := tried.Get(ctx, v); err != nil {
		r.closeRefused(ctx, err)
		return true
	}
	r.progress.Validation = v
	r.addLine(ctx,
		"valid: it decided %d times in a back-test at $%.2f; never switching costs $%.2f and the rules $%.2f",
		v.Decisions, v.Total, v.Never, v.Rules)
	return false
}

// resumeFromRow reads the row of a rollout whose workflow was missing, and says whether it
// has ended. A stage that was under way begins its time again, because the pauses in
// it are not known; one that was only validated is validated again.
func (r *rollout) resumeFromRow(ctx workflow.Context) (ended bool, err error) {
	var local *activities.Rollouts
	var row activities.RolloutRow
	if err := steps.RunLocal(ctx, "read the rollout", local.LoadRollout, r.in.SessionID).Get(ctx, &row); err != nil {
		return false, err
	}
	r.in.Plan, r.in.By, r.progress.Plan, r.progress.Phase = row.Plan, row.By, row.Plan, row.Phase
	if row.Phase.Ended() || row.Phase == mlmodel.Validating {
		return row.Phase.Ended(), nil
	}
	p := &r.progress
	p.Percent, p.Paused, p.Timeline, p.StageSince = row.Percent, row.Paused, row.Timeline, row.StageSince
	for i, s := range row.Plan.Stages() {
		if s.Phase == row.Phase && s.Percent == row.Percent {
			p.Stage = i
		}
	}
	r.addLine(ctx, "its workflow was missing and goes on from here")
	r.announced, r.in.Carried = true, p
	return false, nil
}

// closeRefused ends the rollout before anything was touched.
func (r *rollout) closeRefused(ctx workflow.Context, cause error) {
	r.failure = cause
	r.progress.Code, r.progress.Error = string(fault.CodeOf(cause)), steps.Sentence(cause)
	_ = r.close(ctx, mlmodel.Rejected, r.progress.Error, verdict{})
}

// lost ends a rollout that could not enter a stage because its row is closed or what it
// wanted has come about without it. Any other cause is returned as a failure.
func (r *rollout) lost(ctx workflow.Context, cause error) error {
	switch {
	case fault.Is(cause, mlmodel.WrongPhase):
		r.gaveWay(ctx)
		return nil
	case fault.Is(cause, mlmodel.AlreadyLive):
		r.closeRefused(ctx, cause)
		return nil
	}
	r.progress.Code, r.progress.Error = string(fault.CodeOf(cause)), steps.Sentence(cause)
	return r.rollBack(ctx, verdict{why: "it could not go on: " + r.progress.Error, to: mlmodel.Aborted})
}

// gaveWay ends a rollout whose row another one has closed.
func (r *rollout) gaveWay(ctx workflow.Context) {
	r.progress.Phase, r.progress.Detail = mlmodel.Completed, "another rollout took over"
	r.updateDetails(ctx)
}

func orSomebody(by string) string {
	if by == "" {
		return "an operator"
	}
	return by
}

// validatePolicy loads a model and runs a back-test; a store that is away is
// waited for a little, because a person waits for the answer. A worker that died
// is missed in seconds.
var validatePolicy = workflow.ActivityOptions{
	StartToCloseTimeout:    2 * time.Minute,
	HeartbeatTimeout:       10 * time.Second,
	ScheduleToCloseTimeout: 6 * time.Minute,
	WaitForCancellation:    false,
	RetryPolicy: &temporal.RetryPolicy{
		InitialInterval: 500 * time.Millisecond,
		MaximumInterval: 5 * time.Second,
		MaximumAttempts: 3,
	},
}
