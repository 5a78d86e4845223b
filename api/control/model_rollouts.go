package control

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"spotkeeper/activities"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/workflows"
	"spotkeeper/workflows/rollout"
)

// RolloutRows is the part of postgres.Rollouts that rollouts are shown from, and
// closed when their workflow is gone.
type RolloutRows interface {
	List(ctx context.Context, limit int) ([]models.RolloutView, error)
	Rollout(ctx context.Context, sessionID string) (*models.RolloutView, error)
	Undo(ctx context.Context, sessionID string) error
	End(ctx context.Context, in activities.EndRollout) error
}

// ModelRollouts serve how sessions earn their way.
type ModelRollouts struct {
	Store     RolloutRows
	Workflows RolloutWorkflows
}

// Routes lists the endpoints.
func (m *ModelRollouts) Routes() []web.Route {
	const all = "/api/admin/model-rollouts"
	const one = all + "/:session_id"
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     all,
			ID:       "startRollout",
			Summary:  "Roll out a session by a plan: shadow, canary steps, live, under guards",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   201,
			Event:    "model_rollout_requested",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.start),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodGet,
			Path:     all,
			ID:       "listRollouts",
			Summary:  "List rollouts, newest first",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(m.list),
		},
		{
			Method:   http.MethodGet,
			Path:     one,
			ID:       "getRollout",
			Summary:  "Read a rollout as it is now, with what its guards see",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(m.get),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/promote",
			ID:       "promoteRollout",
			Summary:  "Go on to the next stage now",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_rollout_promotion_requested",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.sendCommand(rollout.UpdatePromote)),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/pause",
			ID:       "pauseRollout",
			Summary:  "Stop the stage's clock; the guards watch on",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_rollout_paused",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.sendCommand(rollout.UpdatePause)),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/resume",
			ID:       "resumeRollout",
			Summary:  "Let the stage's clock go on",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_rollout_resumed",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.sendCommand(rollout.UpdateResume)),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/abort",
			ID:       "abortRollout",
			Summary:  "End a rollout and put back what was live before it",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_rollout_abort_requested",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.sendCommand(rollout.UpdateAbort)),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/rollback",
			ID:       "rollbackRollout",
			Summary:  "Take a session back from the agents it decides for",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_rollout_rollback_requested",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.sendCommand(rollout.UpdateRollBack)),
			Timeout:  web.GuardianTimeout,
		},
	}
}

// span is a time as people write it: 30m, 24h.
type span time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (s *span) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	*s = span(d)
	return err
}

// MarshalJSON implements json.Marshaler.
func (s span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

type startRolloutRequest struct {
	SessionID string         `json:"session_id" binding:"required,max=64"`
	Immediate bool           `json:"immediate" doc:"validate, swap, watch for half an hour; the other times are not read then"`
	Shadow    *string        `json:"shadow" doc:"how long its decisions are only recorded, as 24h; 0s leaves it out"`
	Canary    *[]int         `json:"canary" doc:"percentages of agents it decides for, rising, 1 to 99"`
	Step      *string        `json:"step" doc:"how long each canary step lasts, as 6h"`
	Watch     *string        `json:"watch" doc:"how long it is watched once it is live, as 24h"`
	Guards    *guardsRequest `json:"guards"`
}

type guardsRequest struct {
	FailedFailovers     *int     `json:"failed_failovers" doc:"of its agents, in a stage"`
	SwitchesPerAgentDay *float64 `json:"switches_per_agent_day"`
	SpendPercent        *float64 `json:"spend_percent" doc:"how much more its agents may cost than the others"`
	ErrorRate           *float64 `json:"error_rate" doc:"share of its decisions that may fail, 0 to 1"`
	MinDecisions        *int     `json:"min_decisions" doc:"what a shadow or canary stage must have seen before the clock ends it"`
}

// plan fills in the defaults. Fails with mlmodel.bad_plan.
func (in *startRolloutRequest) plan() (mlmodel.Plan, error) {
	p := mlmodel.DefaultPlan()
	if in.Immediate {
		p = mlmodel.Immediate()
	} else {
		for _, f := range []struct {
			from *string
			to   *time.Duration
		}{{in.Shadow, &p.Shadow}, {in.Step, &p.Step}, {in.Watch, &p.Watch}} {
			if f.from == nil {
				continue
			}
			d, err := time.ParseDuration(*f.from)
			if err != nil {
				return p, mlmodel.BadPlan.New("%q is no span of time: write 30m or 24h", *f.from)
			}
			*f.to = d
		}
		if in.Canary != nil {
			p.Canary = *in.Canary
		}
	}
	if g := in.Guards; g != nil {
		p.Guards.FailedFailovers, p.Guards.MinDecisions = web.ValueOr(g.FailedFailovers,
			p.Guards.FailedFailovers), web.ValueOr(g.MinDecisions, p.Guards.MinDecisions)
		p.Guards.SwitchesPerAgentDay, p.Guards.SpendPercent = web.ValueOr(g.SwitchesPerAgentDay,
			p.Guards.SwitchesPerAgentDay), web.ValueOr(g.SpendPercent, p.Guards.SpendPercent)
		p.Guards.ErrorRate = web.ValueOr(g.ErrorRate, p.Guards.ErrorRate)
	}
	return p, p.Validate()
}

type rolloutAnswer struct {
	SessionID  string                     `json:"session_id"`
	Kind       mlmodel.Kind               `json:"kind"`
	Phase      mlmodel.Phase              `json:"phase" doc:"validating, shadow, canary, live; completed, aborted, rolled_back, refused"`
	Percent    int                        `json:"percent" doc:"of the agents it decides for"`
	Paused     bool                       `json:"paused"`
	Detail     string                     `json:"detail"`
	Plan       planAnswer                 `json:"plan"`
	StartedBy  string                     `json:"started_by"`
	StartedAt  web.Time                   `json:"started_at"`
	StageSince *web.Time                  `json:"stage_since"`
	EndedAt    *web.Time                  `json:"ended_at"`
	Previous   *string                    `json:"previous_session_id" doc:"what was live before; null: the built-in rules"`
	Validation *activities.Validation     `json:"validation"`
	Readings   mlmodel.Readings           `json:"readings"`
	Agreement  float64                    `json:"agreement" doc:"share of shadow decisions that were the live ones"`
	Timeline   []activities.TimelineEntry `json:"timeline"`
	ErrorCode  string                     `json:"error_code,omitempty"`
	Error      string                     `json:"failure,omitempty"`
}

type planAnswer struct {
	Shadow    span           `json:"shadow"`
	Canary    []int          `json:"canary"`
	Step      span           `json:"step"`
	Watch     span           `json:"watch"`
	Guards    mlmodel.Guards `json:"guards"`
	Immediate bool           `json:"immediate"`
}

func rolloutOf(r models.RolloutView) rolloutAnswer {
	p := r.Plan
	return rolloutAnswer{
		SessionID:  r.SessionID,
		Kind:       r.Kind,
		Phase:      r.Phase,
		Percent:    r.Percent,
		Paused:     r.Paused,
		Detail:     r.Detail,
		StartedBy:  r.StartedBy,
		StartedAt:  web.TimeOf(r.StartedAt),
		StageSince: web.NewTime(r.StageSince),
		EndedAt:    web.NewTime(r.EndedAt),
		Previous:   r.Previous,
		Validation: r.Validation,
		Readings:   r.Readings,
		Agreement:  r.Readings.Shadow.Agreement(),
		Timeline:   web.EmptyIfNil(r.Timeline),
		ErrorCode:  r.Code,
		Error:      r.Error,
		Plan: planAnswer{
			Shadow:    span(p.Shadow),
			Canary:    web.EmptyIfNil(p.Canary),
			Step:      span(p.Step),
			Watch:     span(p.Watch),
			Guards:    p.Guards,
			Immediate: p.Immediate(),
		},
	}
}

// start answers when the first stage has begun, or when the validation takes
// longer than a caller waits.
func (m *ModelRollouts) start(ctx context.Context, in *startRolloutRequest) (*rolloutAnswer, error) {
	plan, err := in.plan()
	if err != nil {
		return nil, err
	}
	_, err = m.Workflows.StartRollout(ctx, rollout.Input{
		SessionID: in.SessionID,
		Plan:      plan,
		By:        web.ActorName(ctx),
	})
	if err != nil && !fault.Is(err, workflows.NoAnswer) {
		return nil, err
	}
	return m.readRow(context.WithoutCancel(ctx), in.SessionID)
}

// readRow shows the row. The caller's time may be up, so it has its own.
func (m *ModelRollouts) readRow(ctx context.Context, sessionID string) (*rolloutAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, web.QuickTimeout)
	defer cancel()
	r, err := m.Store.Rollout(ctx, sessionID)
	if err != nil {
		return nil, err
	}
	out := rolloutOf(*r)
	return &out, nil
}

type rolloutsAnswer struct {
	Rollouts []rolloutAnswer `json:"rollouts"`
}

const mostRollouts = 50

func (m *ModelRollouts) list(ctx context.Context, _ *web.None) (*rolloutsAnswer, error) {
	found, err := m.Store.List(ctx, mostRollouts)
	answers, err := web.MapRows(found, err, rolloutOf)
	if err != nil {
		return nil, err
	}
	return &rolloutsAnswer{Rollouts: *answers}, nil
}

type rolloutPath struct {
	SessionID string `json:"-" uri:"session_id" binding:"required,max=64"`
}

// get shows one; a workflow that runs says the latest.
func (m *ModelRollouts) get(ctx context.Context, in *rolloutPath) (*rolloutAnswer, error) {
	out, err := m.readRow(ctx, in.SessionID)
	if err != nil || out.EndedAt != nil {
		return out, err
	}
	asking, cancel := context.WithTimeout(ctx, web.QuickTimeout)
	defer cancel()
	if p, err := m.Workflows.RolloutState(asking, in.SessionID); err == nil && p.Phase == out.Phase {
		out.Detail, out.Paused, out.Percent = p.Detail, p.Paused, p.Percent
		out.Readings, out.Agreement = p.Readings, p.Readings.Shadow.Agreement()
	}
	return out, nil
}

type rolloutCommand struct {
	rolloutPath
	web.OptionalBody
}

func (m *ModelRollouts) sendCommand(
	command string,
) func(ctx context.Context, in *rolloutCommand) (*rolloutAnswer, error) {
	return func(ctx context.Context, in *rolloutCommand) (*rolloutAnswer, error) {
		before, err := m.readRow(ctx, in.SessionID)
		if err != nil {
			return nil, err
		}
		if before.EndedAt != nil {
			return nil, mlmodel.WrongPhase.New("The rollout has ended: %s", before.Phase)
		}
		_, err = m.Workflows.TellRollout(ctx, in.SessionID, command, web.ActorName(ctx))
		if ends := command == rollout.UpdateAbort || command == rollout.UpdateRollBack; ends &&
			fault.Is(err, workflows.NoOperation) {
			// Its workflow was ended by hand: the row must not stay in the way of others.
			err = m.closeAbandoned(ctx, in.SessionID)
		}
		if err != nil {
			return nil, err
		}
		return m.readRow(ctx, in.SessionID)
	}
}

func (m *ModelRollouts) closeAbandoned(ctx context.Context, sessionID string) error {
	if err := m.Store.Undo(ctx, sessionID); err != nil {
		return err
	}
	return m.Store.End(ctx, activities.EndRollout{
		SessionID: sessionID,
		Phase:     mlmodel.Aborted,
		Detail:    "aborted by " + web.ActorName(ctx) + "; its workflow was gone",
	})
}
