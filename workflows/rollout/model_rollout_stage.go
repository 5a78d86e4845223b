package rollout

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/workflows/steps"
)

// verdict is how a stage ended.
type verdict struct {
	how string
	by  *order        // the command that ended it; nil: the clock or a guard
	to  mlmodel.Phase // of going back: aborted or rolled_back
	why string
}

// How a stage ends.
const (
	goOn    = "go on"
	goBack  = "go back"
	carryOn = "carry on in a new run"
	gone    = "superseded"
)

func (v verdict) acknowledge() {
	if v.by != nil {
		v.by.done = true
	}
}

// pausedTick is how often the guards of a paused stage are looked at.
const pausedTick = 15 * time.Minute

// mostTimeline bounds what is kept of a rollout's history.
const mostTimeline = 60

// Steps of a rollout.
var (
	// rolloutPolicy must succeed: until then processes serve what they served.
	rolloutPolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 100 * time.Millisecond,
			MaximumInterval: 30 * time.Second,
		},
	}
	// measurePolicy is for readings: one that fails is made again at the next tick.
	measurePolicy = workflow.ActivityOptions{
		StartToCloseTimeout:    20 * time.Second,
		ScheduleToCloseTimeout: time.Minute,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumAttempts: 3},
	}
)

// enterStage begins a stage: from here processes serve it. When the stage has begun, the
// rollout that it superseded gets a signal.
func (r *rollout) enterStage(ctx workflow.Context, s mlmodel.Stage) error {
	var remote *activities.Rollouts
	var went, recorded activities.StageTaken
	if s.Phase == mlmodel.Live {
		if err := steps.RunActivity(ctx, rolloutPolicy, "make it live", remote.ActivateSession, r.in.SessionID).Get(ctx,
			&went); err != nil {
			return err
		}
	}
	p := &r.progress
	p.Phase, p.Percent, p.Paused, p.Elapsed, p.StageSince, p.Readings = s.Phase, s.Percent, false, 0, workflow.Now(
		ctx), mlmodel.Readings{}
	switch s.Phase {
	case mlmodel.Shadow:
		r.addLine(ctx, "its decisions are recorded beside the live ones for %s", s.For)
	case mlmodel.Canary:
		r.addLine(ctx, "it decides for %d %% of the agents for %s", s.Percent, s.For)
	default:
		r.addLine(ctx, "it decides for all agents and is watched for %s", s.For)
	}
	if err := r.record(ctx).Get(ctx, &recorded); err != nil {
		return err
	}
	r.announced = true
	if r.owed != nil {
		r.owed.done, r.owed = true, nil
	}
	if superseded := cmp.Or(went.Superseded, recorded.Superseded); superseded != "" {
		if err := steps.SendMessage(ctx, "tell the rollout of "+superseded, remote.NudgeRollout, superseded); err != nil {
			workflow.GetLogger(ctx).Info("the superseded rollout will look by itself", "session_id", superseded,
				"error", err)
		}
	}
	return nil
}

// stayInStage stays in a stage until the clock, a command or a guard ends it. Time that
// is paused does not count; the guards are looked at all the same.
func (r *rollout) stayInStage(ctx workflow.Context, s mlmodel.Stage) verdict {
	p := &r.progress
	for {
		if err := r.wait(ctx, s); err != nil {
			return verdict{how: goBack, to: mlmodel.Aborted, why: "the workflow was cancelled"}
		}
		if o := r.next(); o != nil {
			if v, over := r.runCommand(ctx, o); over {
				return v
			}
			continue
		}
		r.nudged = false
		var remote *activities.Rollouts
		var seen mlmodel.Readings
		query := activities.ReadingsQuery{
			SessionID: r.in.SessionID,
			Phase:     s.Phase,
			Percent:   s.Percent,
			Since:     p.StageSince,
		}
		if err := steps.RunActivity(ctx, measurePolicy, "measure", remote.MeasureRollout, query).Get(ctx, &seen); err != nil {
			workflow.GetLogger(ctx).Warn("the guards saw nothing", "session_id", r.in.SessionID, "error", err)
			r.blind = true
			continue
		}
		r.blind = false
		if seen.Gone {
			return verdict{how: gone}
		}
		p.Readings = seen
		if breach := r.in.Plan.Guards.Breach(s.Phase, seen); breach != "" {
			return verdict{how: goBack, to: mlmodel.RolledBack, why: "a guard tripped: " + breach}
		}
		if !p.Paused && p.Elapsed >= s.For && len(r.queue) == 0 {
			passes, remark := r.in.Plan.Passes(p.Stage, seen)
			if !passes {
				p.Detail = remark
			} else {
				if remark != "" {
					r.addLine(ctx, "%s", remark)
				}
				return verdict{how: goOn}
			}
		}
		r.updateDetails(ctx)
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && len(r.queue) == 0 && workflow.AllHandlersFinished(ctx) {
			return verdict{how: carryOn}
		}
	}
}

// wait ends at the next look at the guards, the stage's end, or a message.
func (r *rollout) wait(ctx workflow.Context, s mlmodel.Stage) error {
	p := &r.progress
	d, began := s.Every(), workflow.Now(ctx)
	if left := s.For - p.Elapsed; !p.Paused && (left > 0 || s.Phase == mlmodel.Live) {
		d = min(d, max(left, 0))
	}
	if p.Paused {
		d = pausedTick
	} else if r.blind {
		d = s.Every()
	}
	if d > 0 || len(r.queue) > 0 {
		if _, err := steps.AwaitKeepingTimer(ctx, d, "look at the guards of "+string(s.Phase),
			func() bool { return len(r.queue) > 0 || r.nudged }); err != nil {
			return err
		}
	}
	if !p.Paused {
		p.Elapsed += workflow.Now(ctx).Sub(began)
	}
	return nil
}

// runCommand does what a command says. It says whether that ends the stage.
func (r *rollout) runCommand(ctx workflow.Context, o *order) (verdict, bool) {
	by := orSomebody(o.by)
	switch o.what {
	case UpdatePromote:
		r.addLine(ctx, "promoted by %s", by)
		return verdict{how: goOn, by: o}, true
	case UpdateAbort:
		return verdict{how: goBack, by: o, to: mlmodel.Aborted, why: "aborted by " + by}, true
	case UpdateRollBack:
		return verdict{how: goBack, by: o, to: mlmodel.RolledBack, why: "rolled back by " + by}, true
	case UpdatePause, UpdateResume:
		if paused := o.what == UpdatePause; r.progress.Paused != paused {
			r.progress.Paused = paused
			r.addLine(ctx, "%sd by %s", o.what, by)
			if err := r.record(ctx).Get(ctx, nil); err != nil {
				workflow.GetLogger(ctx).Warn("the pause is not shown", "session_id", r.in.SessionID, "error", err)
			}
		}
	}
	o.done = true
	return verdict{}, false
}

// rollBack puts back what was live, whatever the stage, and closes the rollout.
func (r *rollout) rollBack(ctx workflow.Context, v verdict) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var remote *activities.Rollouts
	err := steps.RunActivity(ctx, rolloutPolicy, "put back what was live", remote.RestoreSessions, r.in.SessionID).Get(ctx,
		nil)
	if fault.Is(err, mlmodel.WrongPhase) {
		r.gaveWay(ctx)
		v.acknowledge()
		return nil
	}
	if err != nil {
		return steps.UndoFailed.Wrap(err, "session %s may still be live", r.in.SessionID)
	}
	return r.close(ctx, v.to, v.why, v)
}

// close ends the rollout's row.
func (r *rollout) close(ctx workflow.Context, phase mlmodel.Phase, why string, v verdict) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var remote *activities.Rollouts
	r.progress.Phase = phase
	r.addLine(ctx, "%s", why)
	err := steps.RunActivity(ctx, rolloutPolicy, "close: "+string(phase), remote.CloseRollout, activities.EndRollout{
		SessionID: r.in.SessionID,
		Phase:     phase,
		Detail:    why,
		Code:      r.progress.Code,
		Error:     r.progress.Error,
		Timeline:  r.progress.Timeline,
		Keep:      r.failure != nil && fault.CodeOf(r.failure).Kind().Retryable(),
	}).Get(ctx, nil)
	v.acknowledge()
	return err
}

func (r *rollout) record(ctx workflow.Context) workflow.Future {
	var remote *activities.Rollouts
	p := &r.progress
	return steps.RunActivity(ctx, rolloutPolicy, "record: "+string(p.Phase), remote.RecordRollout, activities.RolloutState{
		SessionID:  p.SessionID,
		Phase:      p.Phase,
		Percent:    p.Percent,
		Paused:     p.Paused,
		Detail:     p.Detail,
		StageSince: &p.StageSince,
		Timeline:   p.Timeline,
	})
}

// addLine adds a line to the timeline.
func (r *rollout) addLine(ctx workflow.Context, format string, args ...any) {
	p := &r.progress
	p.Detail = fmt.Sprintf(format, args...)
	p.Timeline = append(p.Timeline, activities.TimelineEntry{At: workflow.Now(ctx), Phase: p.Phase, Detail: p.Detail})
	if more := len(p.Timeline) - mostTimeline; more > 0 {
		p.Timeline = p.Timeline[more:]
	}
	r.updateDetails(ctx)
}

// updateDetails is what operators read in the Temporal UI.
func (r *rollout) updateDetails(ctx workflow.Context) {
	p := r.progress
	lines := []string{fmt.Sprintf("**%s** at %d %% · session `%s`: %s", strings.ReplaceAll(string(p.Phase), "_", " "),
		p.Percent, p.SessionID, p.Detail)}
	if p.Paused {
		lines = append(lines, "", "**paused**: the stage's clock stands still, its guards do not")
	}
	g, o := p.Readings.Group, p.Readings.Others
	lines = append(lines, "", "| | its agents | the others |", "|---|---|---|",
		fmt.Sprintf("| agents | %d | %d |", g.Agents, o.Agents),
		fmt.Sprintf("| decisions (failed) | %d (%d) | %d (%d) |", g.Decisions, g.Errors, o.Decisions, o.Errors),
		fmt.Sprintf("| switches | %d | %d |", g.Switches, o.Switches),
		fmt.Sprintf("| failed failovers | %d | %d |", g.FailedFailovers, o.FailedFailovers),
		fmt.Sprintf("| spend of on-demand | $%.2f of $%.2f | $%.2f of $%.2f |", g.Spend, g.Reference, o.Spend,
			o.Reference))
	if c := p.Readings.Shadow; c.Pairs > 0 {
		lines = append(lines, "",
			fmt.Sprintf("Shadow: %d pairs, %.1f %% agree, %d failed, regret $%.4f per hour", c.Pairs,
				c.Agreement()*100, c.Errors, c.Regret))
	}
	lines = append(lines, "")
	for _, e := range p.Timeline[max(0, len(p.Timeline)-steps.ShownLines):] {
		lines = append(lines, fmt.Sprintf("- %s %s: %s", e.At.UTC().Format(time.RFC3339), e.Phase, e.Detail))
	}
	workflow.SetCurrentDetails(ctx, strings.Join(lines, "\n"))
}
