package pages

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/postgres/views"
)

type reportedPriceList struct {
	Prices []reportedPrice `json:"prices" doc:"by pool, 2000 at most"`
}

type reportedPrice struct {
	PoolID       string         `json:"pool_id" example:"m5.large.us-east-1a"`
	InstanceType string         `json:"instance_type"`
	Region       string         `json:"region"`
	AZ           string         `json:"az"`
	Price        float64        `json:"price" doc:"USD per hour, as it was reported last"`
	At           web.ExactTime  `json:"observed_at"`
	AgentID      string         `json:"agent_id"`
	InstanceID   *string        `json:"instance_id" doc:"null: the report did not say"`
	Counts       bool           `json:"counts" doc:"it is used for this client; else it is evidence, which nothing is decided by"`
	Worth        pricing.Worth  `json:"worth" enum:"counts unproven other_pool out_of_band" doc:"why it counts or not"`
	Market       *float64       `json:"market_price" doc:"USD per hour, as EC2 shows it; null: EC2 has not answered for this pool"`
	MarketAt     *web.ExactTime `json:"market_observed_at"`
	Difference   *float64       `json:"difference_percent" doc:"of the reported price from EC2's"`
}

func reportedPriceOf(x views.ReportedPrice) reportedPrice {
	return reportedPrice{
		PoolID:       x.PoolID,
		InstanceType: x.InstanceType,
		Region:       x.Region,
		AZ:           x.AZ,
		Price:        x.Price,
		At:           *web.NewExactTime(&x.ObservedAt),
		AgentID:      x.AgentID,
		InstanceID:   x.InstanceID,
		Counts:       x.Worth == string(pricing.Counts),
		Worth:        pricing.Worth(x.Worth),
		Market:       x.Market,
		MarketAt:     web.NewExactTime(x.MarketAt),
		Difference:   x.Difference,
	}
}

func (p *ClientPages) reportedPrices(ctx context.Context, in *web.ClientPath) (*reportedPriceList, error) {
	found, err := p.Views.ReportedPrices(ctx, in.ClientID)
	list, err := web.MapRows(found, err, reportedPriceOf)
	if err != nil {
		return nil, err
	}
	return &reportedPriceList{Prices: *list}, nil
}
