package activities

import (
	"context"
	"time"

	"spotkeeper/internal/domain/mlmodel"
)

// RolloutStore is the part of postgres.Rollouts that rollout activities use.
type RolloutStore interface {
	Session(ctx context.Context, id string) (*mlmodel.Session, error)
	Open(ctx context.Context, in OpenRollout) error
	Row(ctx context.Context, sessionID string) (*RolloutRow, error)
	Record(ctx context.Context, in RolloutState) (StageTaken, error)
	Validated(ctx context.Context, in Validation) error
	GoLive(ctx context.Context, sessionID string) (StageTaken, error)
	Undo(ctx context.Context, sessionID string) error
	End(ctx context.Context, in EndRollout) error
	Readings(ctx context.Context, in ReadingsQuery) (mlmodel.Readings, error)
}

// SessionTrial loads a session's engine, tries it, and unloads it again.
type SessionTrial interface {
	Try(ctx context.Context, s mlmodel.Session) (Validation, error)
}

// RolloutDesk is the part of workflows.Client that wakes another rollout.
type RolloutDesk interface {
	NudgeRollout(ctx context.Context, sessionID string) error
}

// Rollouts do what a rollout orders. Each sets a level, so a second run changes nothing.
type Rollouts struct {
	Store RolloutStore
	Trial SessionTrial
	Desk  RolloutDesk
	Slots Slots // for what waits for Temporal
}

// trialBeat is well below the heartbeat timeout of a trial.
const trialBeat = 2 * time.Second

// OpenRollout begins a rollout.
type OpenRollout struct {
	SessionID string       `json:"session_id"`
	Plan      mlmodel.Plan `json:"plan"`
	By        string       `json:"by,omitempty"`
}

// RolloutRow is how far a rollout is, as its row says.
type RolloutRow struct {
	Plan       mlmodel.Plan    `json:"plan"`
	By         string          `json:"by,omitempty"`
	Phase      mlmodel.Phase   `json:"phase"`
	Percent    int             `json:"percent"`
	Paused     bool            `json:"paused"`
	StageSince time.Time       `json:"stage_since,omitzero"`
	Timeline   []TimelineEntry `json:"timeline"`
}

// LoadRollout reads a rollout's row. Fails with mlmodel.not_found.
func (r *Rollouts) LoadRollout(ctx context.Context, sessionID string) (*RolloutRow, error) {
	return r.Store.Row(ctx, sessionID)
}

// StageTaken names the rollout that a stage superseded.
type StageTaken struct {
	Superseded string `json:"superseded,omitempty"` // the session whose watch ended
}

// TimelineEntry is one line of a rollout's history.
type TimelineEntry struct {
	At     time.Time     `json:"at"`
	Phase  mlmodel.Phase `json:"phase"`
	Detail string        `json:"detail"`
}

// RolloutState is how far a rollout is.
type RolloutState struct {
	SessionID  string          `json:"session_id"`
	Phase      mlmodel.Phase   `json:"phase"`
	Percent    int             `json:"percent"`
	Paused     bool            `json:"paused"`
	Detail     string          `json:"detail"`
	StageSince *time.Time      `json:"stage_since,omitempty"`
	Timeline   []TimelineEntry `json:"timeline"`
}

// EndRollout closes a rollout.
type EndRollout struct {
	SessionID string          `json:"session_id"`
	Phase     mlmodel.Phase   `json:"phase"` // completed, aborted, rolled_back or refused
	Detail    string          `json:"detail"`
	Code      string          `json:"code,omitempty"`
	Error     string          `json:"error,omitempty"`
	Keep      bool            `json:"keep,omitempty"` // nothing is wrong with the files: the session waits on
	Timeline  []TimelineEntry `json:"timeline"`
}

// Validation is the result of trying the model of a session.
type Validation struct {
	SessionID string  `json:"session_id"`
	Runner    string  `json:"runner"`
	Version   string  `json:"version"`
	Decisions int     `json:"decisions"` // of the back-test
	Switches  int     `json:"switches"`
	Total     float64 `json:"total"`       // USD: its bill and its interruptions
	Never     float64 `json:"never_total"` // of never switching
	Rules     float64 `json:"rules_total"` // of the built-in rules
	Micros    float64 `json:"microseconds_per_decision"`
}

// ReadingsQuery says what to measure.
type ReadingsQuery struct {
	SessionID string        `json:"session_id"`
	Phase     mlmodel.Phase `json:"phase"`
	Percent   int           `json:"percent"`
	Since     time.Time     `json:"since"`
}

// OpenRollout begins the row of a rollout, once per run: a second call finds it
// begun. Fails with mlmodel.not_found, mlmodel.already_live and mlmodel.busy.
func (r *Rollouts) OpenRollout(ctx context.Context, in OpenRollout) error {
	return r.Store.Open(ctx, in)
}

// ValidateSession loads the session's engine in this process, lets it decide in a
// back-test and keeps what it found. It leaves nothing loaded and touches
// nothing that serves, so it may run twice. It sends heartbeats, so that another worker
// begins anew soon after this one died, and so that a cancellation ends it. Fails with
// what is wrong with the files: final unless a dependency was away.
func (r *Rollouts) ValidateSession(ctx context.Context, sessionID string) (Validation, error) {
	s, err := r.Store.Session(ctx, sessionID)
	if err != nil {
		return Validation{}, err
	}
	rest := heartbeatEvery(trialBeat, func() { recordHeartbeat(ctx) })
	v, err := r.Trial.Try(ctx, *s)
	rest()
	if err != nil {
		return v, err
	}
	v.SessionID = sessionID
	return v, r.Store.Validated(ctx, v)
}

// RecordRollout writes the progress of a rollout; every process serves by it. It sets a
// level, and closes the rollout that it supersedes, if there is one. A second call finds
// none left to close. Fails with mlmodel.wrong_phase when it has ended, and
// with mlmodel.already_live when there is nothing left to roll out.
func (r *Rollouts) RecordRollout(ctx context.Context, in RolloutState) (StageTaken, error) {
	return r.Store.Record(ctx, in)
}

// ActivateSession makes a rollout's session the live one of its kind. A second
// call changes nothing. Fails as RecordRollout does.
func (r *Rollouts) ActivateSession(ctx context.Context, sessionID string) (StageTaken, error) {
	return r.Store.GoLive(ctx, sessionID)
}

// RestoreSessions makes live again what was live before the rollout; one that has
// made nothing live needs nothing. Fails with mlmodel.wrong_phase when another
// took over.
func (r *Rollouts) RestoreSessions(ctx context.Context, sessionID string) error {
	return r.Store.Undo(ctx, sessionID)
}

// CloseRollout ends a rollout; one that has ended stays as it ended.
func (r *Rollouts) CloseRollout(ctx context.Context, in EndRollout) error {
	return r.Store.End(ctx, in)
}

// MeasureRollout reads what the guards judge by, and shows it. It sets a level.
func (r *Rollouts) MeasureRollout(ctx context.Context, in ReadingsQuery) (mlmodel.Readings, error) {
	return r.Store.Readings(ctx, in)
}

// NudgeRollout makes a rollout look whether it has been superseded. It carries no
// fact, so it may run twice. A rollout that has ended ignores it.
func (r *Rollouts) NudgeRollout(ctx context.Context, sessionID string) error {
	return r.Slots.Run(ctx, func() error { return r.Desk.NudgeRollout(ctx, sessionID) })
}
