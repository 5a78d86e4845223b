package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"spotkeeper/internal/cli/client"
)

// errNothingDue says that each agent had a failover lately.
var errNothingDue = errors.New("no drill is due")

// nextDrill chooses the marked agent whose last failover, a drill or a real one, is the longest ago, of
// those where that is at least as long as every. Fails with errNothingDue, and with the reasons when
// all that are due are held back.
func (p *program) nextDrill(ctx context.Context, api *client.ClientWithResponses, every time.Duration, now time.Time) (
	*client.FleetAgent, error,
) {
	var next *client.FleetAgent
	var oldest time.Time
	var held []string
	for _, name := range p.target.Drills {
		agent, err := p.findAgent(ctx, api, name)
		if err != nil {
			return nil, err
		}
		last, err := lastFailover(ctx, api, client.ListOperationsParams{AgentId: &agent.Id})
		if err != nil {
			return nil, err
		}
		var at time.Time // of the last one; zero: never
		if last != nil {
			at = last.StartedAt
		}
		if now.Sub(at) < every || next != nil && !at.Before(oldest) {
			continue
		}
		err = drillable(agent, p.target.Drills)
		if err == nil {
			err = calm(ctx, api, agent)
		}
		if r, ok := errors.AsType[*refused](err); ok {
			return nil, r
		}
		if err != nil {
			held = append(held, err.Error())
			continue
		}
		next, oldest = agent, at
	}
	switch {
	case next != nil:
		return next, nil
	case len(held) > 0:
		return nil, fmt.Errorf("drills are due and held back: %s", strings.Join(held, "; "))
	case len(p.target.Drills) == 0:
		return nil, errors.New("no agent is marked for drills: spotkeeper context set NAME --drills web,api marks some")
	}
	return nil, errNothingDue
}

// calm refuses an agent whose client has another failover in flight, or lets nothing move at this time.
func calm(ctx context.Context, api *client.ClientWithResponses, a *client.FleetAgent) error {
	flying, err := lastFailover(ctx, api, client.ListOperationsParams{
		ClientId: &a.ClientId, State: given[client.ListOperationsParamsState]("running"),
	})
	if err != nil {
		return err
	}
	if flying != nil {
		return fmt.Errorf("client %s has a failover in flight, %s", a.ClientName, flying.Id)
	}
	rules, err := answer(api.GetMoveRulesWithResponse(ctx, a.ClientId))
	if err != nil {
		return err
	}
	if rules.OpensAt != nil {
		return fmt.Errorf("the windows of client %s are closed until %s", a.ClientName, at(*rules.OpensAt))
	}
	return nil
}

// lastFailover is the newest termination that a query finds; nil: there is none.
func lastFailover(ctx context.Context, api *client.ClientWithResponses, q client.ListOperationsParams) (*client.OperationAnswer, error) {
	one := 1
	q.Kind, q.Limit = given[client.ListOperationsParamsKind]("termination"), &one
	page, err := answer(api.ListOperationsWithResponse(ctx, &q))
	if err != nil || len(page.Operations) == 0 {
		return nil, err
	}
	return &page.Operations[0], nil
}
