package rest

import (
	"bytes"
	"context"
	"net/http"

	"spotkeeper/internal/pricing"
)

// PriceStore is the part of postgres.Prices that keeps what agents report.
type PriceStore interface {
	// Report keeps a report. Fails with agent.not_found, and with the codes of
	// pricing for one that is not believed.
	Report(ctx context.Context, clientID, agentID string, r pricing.Report) (pricing.Ingested, error)
}

// Pricing serves the agents' reports of prices.
type Pricing struct {
	Store PriceStore
}

// Routes lists the endpoints.
func (p *Pricing) Routes() []Route {
	return []Route{
		{Method: http.MethodPost, Path: "/api/agents/:agent_id/pricing-report", ID: "reportPrices", Summary: "Tell what pools cost", Auth: Agent, Status: 200, Endpoint: endpoint(p.report), Quiet: true},
	}
}

// pricingReport is read by its domain, which knows the shapes of all deployed
// programs.
type pricingReport struct {
	agentPath
	report pricing.Report
}

func (r *pricingReport) parseBody(body []byte) (err error) {
	if bytes.Contains(body, []byte(`\u0000`)) {
		return InvalidRequest.New("The body contains null characters.")
	}
	r.report, err = pricing.ParseReport(body)
	return err
}

type pricingAnswer struct {
	Success    bool                `json:"success"`
	Accepted   int                 `json:"accepted" doc:"prices that are stored, duplicates included"`
	Duplicates int                 `json:"duplicates" doc:"of those, the ones that had come before"`
	Rejected   int                 `json:"rejected" doc:"prices that are not believed"`
	Rejections []pricing.Rejection `json:"rejections" doc:"each of those, by its pool, and why"`
}

// report keeps what is believed of the report. What is not does not make the rest
// fail: an agent reports once in five minutes and reads no answer. It is named all
// the same, for whoever looks.
func (p *Pricing) report(ctx context.Context, in *pricingReport) (*pricingAnswer, error) {
	got, err := p.Store.Report(ctx, PrincipalFrom(ctx).ClientID, in.AgentID, in.report)
	if err != nil {
		return nil, err
	}
	return &pricingAnswer{Success: true, Accepted: got.Accepted, Duplicates: got.Duplicates, Rejected: len(got.Rejected), Rejections: got.Rejected}, nil
}
