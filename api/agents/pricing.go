package agents

import (
	"bytes"
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/pricing"
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
	// Agents let an instance that reports follow a primary that is lost. Nil: none
	// follows.
	Agents *Agents
}

// Routes lists the endpoints.
func (p *Pricing) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/:agent_id/pricing-report",
			ID:       "reportPrices",
			Summary:  "Tell what pools cost",
			Auth:     web.Agent,
			Status:   200,
			Endpoint: web.NewEndpoint(p.report),
			Quiet:    true,
		},
	}
}

// longestInstanceID is what the other routes accept, and a row holds.
const longestInstanceID = 64

// pricingReport is parsed by its domain, which accepts the forms of all deployed
// programs.
type pricingReport struct {
	web.AgentPath
	report pricing.Report
}

func (r *pricingReport) ParseBody(body []byte) (err error) {
	if bytes.Contains(body, []byte(`\u0000`)) {
		return web.InvalidRequest.New("The body contains null characters.")
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
// the same, for readers of the log.
func (p *Pricing) report(ctx context.Context, in *pricingReport) (*pricingAnswer, error) {
	clientID := web.PrincipalFrom(ctx).ClientID
	got, err := p.Store.Report(ctx, clientID, in.AgentID, in.report)
	if err != nil {
		return nil, err
	}
	if got.Orphaned {
		p.followLostPrimary(ctx, clientID, in)
	}
	return &pricingAnswer{
		Success:    true,
		Accepted:   got.Accepted,
		Duplicates: got.Duplicates,
		Rejected:   len(got.Rejected),
		Rejections: got.Rejected,
	}, nil
}

// followLostPrimary lets the instance that reports follow a primary that is lost. That it
// could not is only logged: the prices are kept, and the next report asks again.
func (p *Pricing) followLostPrimary(ctx context.Context, clientID string, in *pricingReport) {
	r, own := in.report, in.report.Own()
	if p.Agents == nil || len(r.InstanceID) > longestInstanceID {
		return
	}
	err := p.Agents.followLostPrimary(ctx, in.AgentID, agent.Registration{
		ClientID:     clientID,
		InstanceID:   r.InstanceID,
		InstanceType: own.InstanceType,
		Region:       own.Region,
		AZ:           own.AZ,
		Mode:         r.Mode,
	})
	if err != nil {
		web.LoggerFrom(ctx).WarnContext(ctx, "an instance could not follow a lost primary",
			"agent_id", in.AgentID, "instance_id", r.InstanceID, "error", err)
	}
}
