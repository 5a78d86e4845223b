package pages

import (
	"context"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type listPoolsRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"whose instances, interruptions and launches are counted"`
	Region   string `json:"-" form:"region" binding:"max=64"`
	Type     string `json:"-" form:"instance_type" binding:"max=64"`
}

type poolList struct {
	Pools []poolItem `json:"pools" doc:"by type and zone"`
}

type poolItem struct {
	ID           string         `json:"id" example:"m5.large.us-east-1a"`
	InstanceType string         `json:"instance_type" example:"m5.large"`
	Region       string         `json:"region" example:"us-east-1"`
	AZ           string         `json:"az" example:"us-east-1a"`
	Price        *float64       `json:"price" doc:"USD per hour"`
	PriceAt      *web.ExactTime `json:"price_at" doc:"when that was seen"`
	OnDemand     *float64       `json:"on_demand_price" doc:"USD per hour"`
	Ratio        *float64       `json:"price_ratio" doc:"price by on-demand price" example:"0.31"`
	Terminations int64          `json:"terminations_last_day"`
	Rebalances   int64          `json:"rebalances_last_day"`
	InstanceDays float64        `json:"instance_days_last_week" doc:"how long our spot instances ran in it"`
	Rate         *float64       `json:"interruptions_per_instance_day" doc:"over the last week; null while too little ran in it to say"`
	Refused      int64          `json:"launches_refused_last_hour" doc:"launches that failed, of all reasons"`
	LastRefusal  *string        `json:"last_refusal" doc:"code of the last of them"`
	RetryAfter   *web.ExactTime `json:"retry_after" doc:"launches go to other pools until then"`
	Score        *int64         `json:"placement_score"`
	Recommended  int64          `json:"recommendations_last_month" doc:"instances that AWS recommended to move, in 30 days"`
	CameTrue     int64          `json:"recommendations_came_true" doc:"those of them that a termination notice followed"`
	LeadSeconds  *float64       `json:"recommendation_lead_seconds" doc:"from a recommendation to its notice, the median"`
	Announced    int64          `json:"terminations_last_month" doc:"termination notices in the same 30 days"`
	Ours         int64          `json:"instances"`
	Primaries    int64          `json:"primaries"`
}

// enoughDays is how many instance-days make a rate that says something.
const enoughDays = 0.5

func poolOf(x views.PoolView) poolItem {
	out := poolItem{
		ID:           x.ID,
		InstanceType: x.InstanceType,
		Region:       x.Region,
		AZ:           x.AZ,
		Price:        x.Price,
		PriceAt:      web.NewExactTime(x.PriceAt),
		OnDemand:     x.OnDemand,
		Terminations: x.Terminations,
		Rebalances:   x.Rebalances,
		InstanceDays: x.InstanceDays,
		Refused:      x.Refused,
		LastRefusal:  x.LastRefusal,
		RetryAfter:   web.NewExactTime(x.RetryAfter),
		Score:        x.Score,
		Recommended:  x.Recommended,
		CameTrue:     x.CameTrue,
		LeadSeconds:  x.LeadSeconds,
		Announced:    x.Announced,
		Ours:         x.Ours,
		Primaries:    x.Primaries,
	}
	if x.Price != nil && x.OnDemand != nil && *x.OnDemand > 0 {
		ratio := *x.Price / *x.OnDemand
		out.Ratio = &ratio
	}
	if x.InstanceDays >= enoughDays {
		rate := float64(x.Interrupted) / x.InstanceDays
		out.Rate = &rate
	}
	return out
}

func (c *Console) pools(ctx context.Context, in *listPoolsRequest) (*poolList, error) {
	found, err := c.Views.Pools(ctx, views.PoolFilter{
		ClientID:     ownClient(ctx, in.ClientID),
		Region:       in.Region,
		InstanceType: in.Type,
	})
	list, err := web.MapRows(found, err, poolOf)
	if err != nil {
		return nil, err
	}
	return &poolList{Pools: *list}, nil
}

type poolPricesRequest struct {
	PoolID string `json:"-" uri:"pool_id"`
	Hours  *int   `json:"-" form:"hours" binding:"omitempty,min=1,max=168" doc:"how far back; 24 by default"`
}

type poolPricesAnswer struct {
	PoolID       string       `json:"pool_id"`
	InstanceType string       `json:"instance_type"`
	Region       string       `json:"region"`
	OnDemand     *float64     `json:"on_demand_price" doc:"USD per hour"`
	Series       []poolSeries `json:"series" doc:"the pool and those of the same type in its region"`
	Marks        []poolMark   `json:"marks" doc:"what happened in these pools, oldest first"`
}

type poolSeries struct {
	PoolID string       `json:"pool_id"`
	Points []pricePoint `json:"points" doc:"in steps of five minutes, oldest first"`
}

type pricePoint struct {
	At           web.Time `json:"at"`
	Price        float64  `json:"price" doc:"USD per hour"`
	Interpolated bool     `json:"interpolated" doc:"computed from its surroundings, because nothing was measured"`
}

type poolMark struct {
	PoolID     string        `json:"pool_id"`
	At         web.ExactTime `json:"at"`
	Kind       string        `json:"kind" enum:"termination-notice rebalance-recommendation arrival" doc:"arrival: an agent's primary moved into the pool"`
	AgentID    *string       `json:"agent_id"`
	AgentName  *string       `json:"agent_name"`
	InstanceID string        `json:"instance_id"`
}

func (c *Console) poolPrices(ctx context.Context, in *poolPricesRequest) (*poolPricesAnswer, error) {
	pool, err := c.Views.Pool(ctx, in.PoolID)
	if err != nil {
		return nil, err
	}
	since := c.Now().Add(-time.Duration(web.ValueOr(in.Hours, 24)) * time.Hour)
	prices, err := c.Views.RecentPrices(ctx, pool.InstanceType, pool.Region, since)
	if err != nil {
		return nil, err
	}
	onDemand, err := c.Views.OnDemandPrice(ctx, pool.InstanceType, pool.Region)
	if err != nil {
		return nil, err
	}
	found, err := c.Views.PoolMarks(ctx, web.TenantScope(ctx), pool.InstanceType, pool.Region, since)
	marks, err := web.MapRows(found, err, func(x views.PoolMark) poolMark {
		return poolMark{
			PoolID:     x.PoolID,
			At:         web.ExactTime{Time: x.At},
			Kind:       x.Kind,
			AgentID:    x.AgentID,
			AgentName:  x.AgentName,
			InstanceID: x.InstanceID,
		}
	})
	if err != nil {
		return nil, err
	}
	out := &poolPricesAnswer{
		PoolID:       pool.ID,
		InstanceType: pool.InstanceType,
		Region:       pool.Region,
		Series:       seriesOf(prices),
		Marks:        *marks,
	}
	if onDemand > 0 {
		out.OnDemand = &onDemand
	}
	return out, nil
}

// seriesOf groups prices that are ordered by pool.
func seriesOf(prices []views.PoolPrice) []poolSeries {
	out := []poolSeries{}
	for _, p := range prices {
		if len(out) == 0 || out[len(out)-1].PoolID != p.PoolID {
			out = append(out, poolSeries{PoolID: p.PoolID, Points: []pricePoint{}})
		}
		last := &out[len(out)-1]
		last.Points = append(last.Points, pricePoint{
			At:           web.Time{Time: p.At},
			Price:        p.Price,
			Interpolated: p.Interpolated,
		})
	}
	return out
}
