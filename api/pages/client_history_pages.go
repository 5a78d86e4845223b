package pages

import (
	"context"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

type savingsRequest struct {
	web.ClientPath
	Range *string `json:"-" form:"range" doc:"monthly, the default; there is no other"`
}

type monthAnswer struct {
	Name         string  `json:"name"`
	Year         int     `json:"year"`
	Savings      float64 `json:"savings"`
	OnDemandCost float64 `json:"onDemandCost"`
	ModelCost    float64 `json:"modelCost"`
}

func (p *ClientPages) savings(ctx context.Context, in *savingsRequest) (*[]monthAnswer, error) {
	if in.Range != nil && *in.Range != "monthly" {
		return &[]monthAnswer{}, nil
	}
	found, err := p.Views.SavingsByMonth(ctx, in.ClientID, 12)
	return web.MapRows(found, err, func(m views.MonthView) monthAnswer {
		return monthAnswer{
			Name:         time.Month(m.Month).String(),
			Year:         m.Year,
			Savings:      m.Savings,
			OnDemandCost: m.Baseline,
			ModelCost:    m.Actual,
		}
	})
}

type switchesRequest struct {
	web.ClientPath
	web.Paging
	InstanceID string `json:"-" form:"instance_id" doc:"only switches from or to this instance"`
	Limit      *int   `json:"-" form:"limit" binding:"omitempty,min=1,max=1000" doc:"100 by default"`
}

type switchAnswer struct {
	ID            string   `json:"id"`
	InstanceID    string   `json:"instanceId"` // where it moved to
	OldInstanceID string   `json:"oldInstanceId"`
	NewInstanceID string   `json:"newInstanceId"`
	At            web.Time `json:"timestamp"`
	FromMode      string   `json:"fromMode"`
	ToMode        string   `json:"toMode"`
	FromPool      string   `json:"fromPool"`
	ToPool        string   `json:"toPool"`
	Trigger       string   `json:"trigger"`
	Price         float64  `json:"price"`
	Impact        float64  `json:"savingsImpact"`
}

func (p *ClientPages) switches(ctx context.Context, in *switchesRequest) (*[]switchAnswer, error) {
	found, err := p.Views.SwitchHistory(ctx, in.ClientID, in.InstanceID, in.PageOf(web.ValueOr(in.Limit, 100)))
	found, err = web.FinishPage(&in.Paging, found, err, func(s views.SwitchView) pg.Cursor {
		return pg.Cursor{At: s.InitiatedAt, ID: s.ID}
	})
	return web.MapRows(found, err, func(s views.SwitchView) switchAnswer {
		return switchAnswer{
			ID:            s.ID,
			InstanceID:    s.NewID,
			OldInstanceID: s.OldID,
			NewInstanceID: s.NewID,
			At:            web.TimeOf(s.At),
			FromMode:      s.FromMode,
			ToMode:        s.ToMode,
			FromPool:      web.ValueOrNA(s.FromPool),
			ToPool:        web.ValueOrNA(s.ToPool),
			Trigger:       s.Trigger,
			Price:         s.Price,
			Impact:        s.SavingsImpact,
		}
	})
}

type chartsAnswer struct {
	SavingsTrend     []trendPoint `json:"savingsTrend"`
	ModeDistribution []modeCount  `json:"modeDistribution"`
	SwitchFrequency  []dayCount   `json:"switchFrequency"`
}

type trendPoint struct {
	Month    string  `json:"month"`
	Savings  float64 `json:"savings"`
	Baseline float64 `json:"baseline"`
	Actual   float64 `json:"actual"`
}

type modeCount struct {
	Mode  string `json:"mode"`
	Name  string `json:"name"` // the same, for the chart's legend
	Count int    `json:"count"`
}

type dayCount struct {
	Date     string `json:"date"`
	Switches int    `json:"switches"`
}

func (p *ClientPages) charts(ctx context.Context, in *web.ClientPath) (*chartsAnswer, error) {
	months, err := p.Views.SavingsByMonth(ctx, in.ClientID, 12)
	if err != nil {
		return nil, err
	}
	modes, err := p.Views.ModeDistribution(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	days, err := p.Views.SwitchFrequency(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	out := &chartsAnswer{SavingsTrend: []trendPoint{}, ModeDistribution: []modeCount{}, SwitchFrequency: []dayCount{}}
	for _, m := range months {
		out.SavingsTrend = append(out.SavingsTrend, trendPoint{
			Month:    time.Month(m.Month).String(),
			Savings:  m.Savings,
			Baseline: m.Baseline,
			Actual:   m.Actual,
		})
	}
	for _, m := range modes {
		out.ModeDistribution = append(out.ModeDistribution, modeCount{Mode: m.Name, Name: m.Name, Count: m.N})
	}
	for _, d := range days {
		out.SwitchFrequency = append(out.SwitchFrequency, dayCount{Date: d.Name, Switches: d.N})
	}
	return out, nil
}

// spotPool is the pool of a spot instance; what is bought on demand is in none.
func spotPool(mode, pool string) *string {
	if mode == string(agent.OnDemand) || pool == "" {
		return nil
	}
	return &pool
}
