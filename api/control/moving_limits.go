package control

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/agents"
)

// ShareStore is the part of agents.Preferences that keeps how many agents may
// move at once.
type ShareStore interface {
	Shares(ctx context.Context) ([]agents.MovingShare, error)
	SetShare(ctx context.Context, clientID string, percent float64, by string) error
}

type sharesAnswer struct {
	Limits []shareItem `json:"limits"`
}

type shareItem struct {
	ClientID *string `json:"client_id" doc:"null: of all agents"`
	Percent  float64 `json:"max_moving_percent" doc:"of the agents at once; one is always allowed"`
	Agents   int     `json:"agents"`
}

func (p *Pauses) listShares(ctx context.Context, _ *web.None) (*sharesAnswer, error) {
	found, err := p.Shares.Shares(ctx)
	if err != nil {
		return nil, err
	}
	out := &sharesAnswer{Limits: []shareItem{}}
	for _, x := range found {
		out.Limits = append(out.Limits, shareItem{ClientID: x.ClientID, Percent: x.Percent, Agents: x.Agents})
	}
	return out, nil
}

type shareRequest struct {
	ClientID string   `json:"client_id" binding:"max=64" doc:"whose agents; when absent, all"`
	Percent  *float64 `json:"max_moving_percent" binding:"required,min=0,max=100"`
}

func (p *Pauses) setShare(ctx context.Context, in *shareRequest) (*web.Success, error) {
	return web.Done, p.Shares.SetShare(ctx, in.ClientID, *in.Percent, web.ActorName(ctx))
}
