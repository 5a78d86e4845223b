package control

import (
	"context"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// EvidenceViews is the part of views.Views that shows what an operation did beside
// its own steps.
type EvidenceViews interface {
	Notices(ctx context.Context, f views.NoticeFilter) ([]views.NoticeView, error)
	Launches(ctx context.Context, replicaIDs []string) ([]views.LaunchView, error)
	RoleChangeOf(ctx context.Context, agentID, operationID string) ([]views.RoleChangeView, error)
	RelatedOperations(ctx context.Context, agentID, except string, from, until time.Time) ([]views.OperationView, error)
	StepsOf(ctx context.Context, ids []string) ([]views.OperationStep, error)
	MoveCostOf(ctx context.Context, agentID, operationID string) ([]views.MoveCost, error)
}

// operationEvidence is everything that a waterfall of the operation shows: how the
// notice arrived, what was launched and refused, and what ran beside it.
type operationEvidence struct {
	BeganAt     web.ExactTime      `json:"began_at" doc:"where a waterfall begins: the arrival of the notice, or the start"`
	DeadlineAt  *web.ExactTime     `json:"deadline_at" doc:"deadline with its milliseconds"`
	Notices     []web.NoticeAnswer `json:"notices" doc:"about the instance of a termination"`
	Launches    []launchAnswer     `json:"launches" doc:"attempts to launch, oldest first"`
	RoleChanges []roleChangeAnswer `json:"role_changes" doc:"changes of the primary that the operation made"`
	Related     []relatedOperation `json:"related" doc:"the agent's other operations of that time, oldest first"`
	Cost        *moveCostAnswer    `json:"cost" doc:"what the change of primary cost; null without one"`
}

type moveCostAnswer struct {
	OldHourly     *float64 `json:"old_hourly" doc:"USD per hour of the primary before" example:"0.0317"`
	NewHourly     *float64 `json:"new_hourly" doc:"USD per hour of the primary after" example:"0.0274"`
	DoubleSeconds float64  `json:"double_running_seconds" doc:"how long both ran because of the operation, so far" example:"134.2"`
	DoubleCost    *float64 `json:"double_running_usd" doc:"USD that the second of them cost in that time" example:"0.0012"`
}

// costOf reads what the operation's change of primary cost.
func (o *Operations) costOf(ctx context.Context, x *views.OperationView, out *operationEvidence) error {
	found, err := o.Evidence.MoveCostOf(ctx, x.AgentID, x.ID)
	if err != nil || len(found) == 0 {
		return err
	}
	out.Cost = (*moveCostAnswer)(&found[0])
	return nil
}

type launchAnswer struct {
	ReplicaID  string         `json:"replica_id"`
	PoolID     string         `json:"pool_id" example:"m5.large.us-east-1a"`
	Mode       string         `json:"mode" enum:"spot ondemand"`
	State      string         `json:"state" enum:"requested launched failed"`
	InstanceID *string        `json:"instance_id"`
	ErrorCode  *string        `json:"error_code"`
	Error      *string        `json:"error_message"`
	At         web.ExactTime  `json:"at"`
	EndedAt    *web.ExactTime `json:"ended_at"`
	TookMs     *int64         `json:"took_ms"`
}

type roleChangeAnswer struct {
	Epoch       int64         `json:"epoch" doc:"the new one"`
	OldPrimary  string        `json:"old_primary"`
	NewPrimary  string        `json:"new_primary"`
	Cause       string        `json:"cause" enum:"termination switch promotion takeover"`
	OperationID *string       `json:"operation_id"`
	At          web.ExactTime `json:"at"`
}

type relatedOperation struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind" enum:"switch replica termination promotion removal adoption"`
	State     string         `json:"state" enum:"running succeeded failed cancelled"`
	Summary   string         `json:"summary"`
	ReplicaID string         `json:"replica_id"`
	StartedAt web.ExactTime  `json:"started_at"`
	EndedAt   *web.ExactTime `json:"ended_at"`
	Steps     []stepAnswer   `json:"steps"`
}

func newRoleChange(x views.RoleChangeView) roleChangeAnswer {
	return roleChangeAnswer{
		Epoch:       x.Epoch,
		OldPrimary:  x.OldID,
		NewPrimary:  x.NewID,
		Cause:       x.Cause,
		OperationID: web.NilIfEmpty(x.OperationID),
		At:          web.ExactTime{Time: x.ChangedAt},
	}
}

// evidenceBefore is how long before a notice its own operation may have been prepared:
// a standby that a rebalance recommendation asked for belongs to the story.
const evidenceBefore = 5 * time.Second

// evidence gathers what belongs to an operation.
func (o *Operations) evidence(ctx context.Context, x *views.OperationView) (*operationEvidence, error) {
	out := &operationEvidence{
		BeganAt:    web.ExactTime{Time: x.StartedAt},
		DeadlineAt: web.NewExactTime(x.Deadline),
		Notices:    []web.NoticeAnswer{},
	}
	if x.Kind == "termination" {
		if err := o.noticesOf(ctx, x, out); err != nil {
			return nil, err
		}
	}
	changed, err := o.Evidence.RoleChangeOf(ctx, x.AgentID, x.ID)
	changes, err := web.MapRows(changed, err, newRoleChange)
	if err != nil {
		return nil, err
	}
	out.RoleChanges = *changes
	if err := o.relatedTo(ctx, x, out); err != nil {
		return nil, err
	}
	if err := o.costOf(ctx, x, out); err != nil {
		return nil, err
	}
	return out, o.launchesOf(ctx, x, out)
}

// noticesOf reads the notices of the instance; a waterfall begins with the first that
// announced the termination.
func (o *Operations) noticesOf(ctx context.Context, x *views.OperationView, out *operationEvidence) error {
	found, err := o.Evidence.Notices(ctx, views.NoticeFilter{
		ClientID: x.ClientID,
		AgentID:  x.AgentID,
		Page:     pg.Page{Limit: 50},
	})
	if err != nil {
		return err
	}
	for _, n := range found {
		if n.InstanceID != x.InstanceID {
			continue
		}
		out.Notices = append(out.Notices, web.NewNoticeAnswer(n))
		if n.Kind == "termination-notice" {
			out.BeganAt, out.DeadlineAt = web.ExactTime{Time: n.ArrivedAt}, &web.ExactTime{Time: n.Deadline}
		}
	}
	return nil
}

// relatedTo reads the agent's other operations of that time with their steps.
func (o *Operations) relatedTo(ctx context.Context, x *views.OperationView, out *operationEvidence) error {
	until := time.Now()
	if x.EndedAt != nil {
		until = *x.EndedAt
	}
	found, err := o.Evidence.RelatedOperations(ctx, x.AgentID, x.ID, out.BeganAt.Add(-evidenceBefore), until)
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(found))
	for _, r := range found {
		ids = append(ids, r.ID)
	}
	steps, err := o.Evidence.StepsOf(ctx, ids)
	if err != nil {
		return err
	}
	out.Related = make([]relatedOperation, 0, len(found))
	for _, r := range found {
		one := relatedOperation{
			ID: r.ID, Kind: r.Kind, State: r.State, Summary: r.Summary, ReplicaID: r.ReplicaID,
			StartedAt: web.ExactTime{Time: r.StartedAt}, EndedAt: web.NewExactTime(r.EndedAt), Steps: []stepAnswer{},
		}
		for _, s := range steps {
			if s.OperationID == r.ID {
				one.Steps = append(one.Steps,
					newStep(s.Name, s.Status, s.Detail, s.SecondsLeft, s.At, out.BeganAt.Time))
			}
		}
		out.Related = append(out.Related, one)
	}
	return nil
}

// launchesOf reads the attempts to launch of the operation's replica and of those that
// were made beside it.
func (o *Operations) launchesOf(ctx context.Context, x *views.OperationView, out *operationEvidence) error {
	replicas := []string{}
	if x.ReplicaID != "" {
		replicas = append(replicas, x.ReplicaID)
	}
	for _, r := range out.Related {
		if r.ReplicaID != "" {
			replicas = append(replicas, r.ReplicaID)
		}
	}
	found, err := o.Evidence.Launches(ctx, replicas)
	launches, err := web.MapRows(found, err, func(l views.LaunchView) launchAnswer {
		return launchAnswer{
			ReplicaID:  l.ReplicaID,
			PoolID:     l.PoolID,
			Mode:       l.Mode,
			State:      l.State,
			InstanceID: l.InstanceID,
			ErrorCode:  l.ErrorCode,
			Error:      l.Error,
			At:         web.ExactTime{Time: l.CreatedAt},
			EndedAt:    web.NewExactTime(l.EndedAt),
			TookMs:     web.MillisecondsBetween(l.CreatedAt, l.EndedAt),
		}
	})
	if err != nil {
		return err
	}
	out.Launches = *launches
	return nil
}

// newStep is a step of a timeline. What is stored as the farthest that a deadline can
// be is no deadline.
func newStep(name, status, detail string, left *float64, at, began time.Time) stepAnswer {
	if left != nil && (*left <= -99999 || *left >= 99999) {
		left = nil
	}
	return stepAnswer{
		Name:        name,
		Status:      status,
		Detail:      detail,
		SecondsLeft: left,
		At:          web.Time{Time: at},
		ExactAt:     web.ExactTime{Time: at},
		SinceMs:     at.Sub(began).Milliseconds(),
	}
}
