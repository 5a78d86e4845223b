package agents

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/agents"
)

type hookResultsRequest struct {
	web.AgentPath
	InstanceID  string       `json:"instance_id"  binding:"required,max=64"`
	NoticeID    string       `json:"notice_id"    binding:"required,max=128" doc:"the agent's name of what the hooks ran for" example:"i-0abcdef1234567890/2026-05-04T12:00:00Z"`
	Kind        string       `json:"kind"         binding:"required,oneof=termination-notice rebalance-recommendation drain"`
	OperationID string       `json:"operation_id" binding:"max=255"          doc:"from the answer to the notice"`
	Hooks       []hookResult `json:"hooks"        binding:"required,max=50,dive" doc:"one run of a hook each"`
}

type hookResult struct {
	Name    string  `json:"name"    binding:"required,max=128" doc:"event/NN-name" example:"notice/10-tell"`
	Attempt int     `json:"attempt" binding:"min=1,max=1000"   doc:"above 1 when an earlier run was cut off" example:"1"`
	Exit    int     `json:"exit"    binding:"min=0,max=255"    doc:"124: its time was over; 127: it did not start; 128 and more: a signal ended it" example:"0"`
	Seconds float64 `json:"seconds" binding:"min=0,max=86400"  doc:"how long it ran" example:"1.26"`
	Ago     float64 `json:"ended_seconds_ago" binding:"min=0"  doc:"when it ended, as seconds before this report" example:"30"`
	Output  string  `json:"output"  binding:"max=4096" text:"lines" doc:"the end of what it printed" example:"nginx stopped taking connections"`
}

// hookResults records how the operator's hooks on an instance ended: as lines of the
// notice's operation and as events.
func (a *Agents) hookResults(ctx context.Context, in *hookResultsRequest) (*web.Success, error) {
	out := agents.HookResults{
		ClientID:    web.PrincipalFrom(ctx).ClientID,
		AgentID:     in.AgentID,
		InstanceID:  in.InstanceID,
		NoticeID:    in.NoticeID,
		Kind:        in.Kind,
		OperationID: in.OperationID,
	}
	for _, h := range in.Hooks {
		out.Hooks = append(out.Hooks, agents.HookResult(h))
	}
	return web.Done, a.Store.RecordHooks(ctx, out)
}
