package agents

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// DecisionStore is the part of decisions.Decisions that decisions are made from.
type DecisionStore interface {
	Input(ctx context.Context, clientID, agentID string) (engine.Input, error)
	Keep(ctx context.Context, records ...engine.Record) error
	DecisionsOf(ctx context.Context, agentID string, limit int) ([]decisions.MadeDecision, error)
	SwitchesOf(ctx context.Context, agentID string, limit int) ([]decisions.MadeSwitch, error)
}

// SettingStore is the part of agents.Agents that reads an agent's settings.
type SettingStore interface {
	Config(ctx context.Context, clientID, agentID string) (*agents.AgentConfig, error)
}

// PoolReader is the part of postgres.Views that orders are checked and decisions explained
// by: one pool with its prices, and what connects an agent's instances with its client.
type PoolReader interface {
	Pool(ctx context.Context, id string) (*views.PoolPriceView, error)
	Proofs(ctx context.Context, agentID string) ([]views.ProofView, error)
	Agent(ctx context.Context, clientID, id string) (*views.AgentView, error)
}

// TypeReader reads what the choice among instance types is made from.
type TypeReader interface {
	Load(ctx context.Context, clientID, agentID string) (*agents.TypesOf, error)
}

// Decisions serves what an engine thinks of an agent's place, and what follows
// from it.
type Decisions struct {
	Store     DecisionStore
	Settings  SettingStore
	Types     TypeReader
	Pools     PoolReader
	Commands  workflows.CommandOrders
	Notices   NoticeStore
	Workflows DecisionWorkflows
	// EngineFor returns the engine that is live for an agent; nil, or one that
	// returns nil: the built-in rules.
	EngineFor func(agentID string) engine.Engine
}

// Routes lists the endpoints.
func (d *Decisions) Routes() []web.Route {
	const one = "/api/agents/:agent_id"
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     one + "/decide",
			ID:       "decide",
			Summary:  "Let the engine judge an agent's place, and keep the decision",
			Auth:     web.Agent,
			Status:   200,
			Endpoint: web.NewEndpoint(d.decide),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/switch-recommendation",
			ID:       "switchRecommendation",
			Summary:  "Let the engine judge an agent's place, and what else there is",
			Auth:     web.Agent,
			Status:   200,
			Endpoint: web.NewEndpoint(d.recommend),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/issue-switch-command",
			ID:       "issueSwitchCommand",
			Summary:  "Move an agent, within its limits",
			Auth:     web.Agent,
			Launches: true,
			Status:   201,
			Endpoint: web.NewEndpoint(d.issueCommand),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/client/agents/:agent_id/explain",
			ID:       "explainAgent",
			Summary:  "Say why an agent was moved, or was not, in words and numbers",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(d.explain),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/rebalance-recommendation",
			ID:       "reportRebalance",
			Summary:  "Tell that AWS recommends to leave an instance",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(d.rebalance),
		},
	}
}

func (d *Decisions) engineFor(agentID string) engine.Engine {
	if d.EngineFor != nil {
		if e := d.EngineFor(agentID); e != nil {
			return e
		}
	}
	return engine.Rules{}
}

// decideAndStore has the agent's engine judge, and keeps what it answers.
func (d *Decisions) decideAndStore(ctx context.Context, facts engine.Input) (engine.Decision, error) {
	got := engine.Decide(ctx, d.engineFor(facts.Agent.ID), facts)
	return got, d.Store.Keep(ctx, engine.Record{Input: facts, Decision: got, Source: engine.ByAgent})
}

// input reads what a decision is made from. An agent without a primary has
// nothing to decide about. Fails with agent.not_found.
func (d *Decisions) input(ctx context.Context, agentID string) (engine.Input, error) {
	in, err := d.Store.Input(ctx, web.PrincipalFrom(ctx).ClientID, agentID)
	if err == nil && in.Instance.ID == "" {
		return in, agent.NotFound.New("Agent not found")
	}
	return in, err
}

type decideRequest struct {
	web.AgentPath
	Instance *decideInstance `json:"instance" binding:"required"`
	Pricing  *decidePrices   `json:"pricing"  binding:"required"`
}

type decideInstance struct {
	InstanceID string `json:"instance_id"     binding:"max=64"`
	Mode       string `json:"current_mode"    binding:"max=20"`
	PoolID     string `json:"current_pool_id" binding:"max=100"`
}

// decidePrices has the names of the agents and of the engine.
type decidePrices struct {
	OnDemand  *float64        `json:"on_demand_price"    binding:"omitempty,min=0,max=1000"`
	OnDemand2 *float64        `json:"ondemand_price"     binding:"omitempty,min=0,max=1000"`
	Spot      *float64        `json:"current_spot_price" binding:"omitempty,min=0,max=1000"`
	Spot2     *float64        `json:"spot_price"         binding:"omitempty,min=0,max=1000"`
	Rest      json.RawMessage `json:"spot_pools"`
}

type decideAnswer struct {
	InstanceID    string         `json:"instance_id"`
	Risk          float64        `json:"risk_score"`
	Action        engine.Action  `json:"recommended_action"`
	Mode          agent.Mode     `json:"recommended_mode"`
	PoolID        *string        `json:"recommended_pool_id"`
	Savings       float64        `json:"expected_savings_per_hour"`
	Allowed       bool           `json:"allowed"`
	Reason        string         `json:"reason"`
	Confidence    float64        `json:"confidence"`
	Vetoes        []engine.Veto  `json:"vetoes"`
	Scores        []engine.Score `json:"scores"`
	Engine        string         `json:"engine"`
	EngineVersion string         `json:"engine_version"`
}

// decide judges by the stored data; prices in the request count only where no price is
// stored.
func (d *Decisions) decide(ctx context.Context, in *decideRequest) (*decideAnswer, error) {
	facts, err := d.input(ctx, in.AgentID)
	if err != nil {
		return nil, err
	}
	in.fillIn(&facts)
	got, err := d.decideAndStore(ctx, facts)
	if err != nil {
		return nil, err
	}
	return &decideAnswer{
		InstanceID:    facts.Instance.ID,
		Risk:          got.Risk,
		Action:        got.Action,
		Mode:          got.Mode,
		PoolID:        web.NilIfEmpty(got.PoolID),
		Savings:       got.Savings,
		Allowed:       got.AsksForSwitch() && facts.Agent.AutoSwitch,
		Reason:        got.Reason,
		Confidence:    got.Confidence,
		Vetoes:        web.EmptyIfNil(got.Vetoes),
		Scores:        web.EmptyIfNil(got.Scores),
		Engine:        got.Engine,
		EngineVersion: got.Version,
	}, nil
}

func (in *decideRequest) fillIn(facts *engine.Input) {
	price := func(given ...*float64) float64 {
		for _, p := range given {
			if p != nil && *p > 0 {
				return *p
			}
		}
		return 0
	}
	if p := price(in.Pricing.OnDemand, in.Pricing.OnDemand2); p > 0 && !facts.OnDemand.IsKnown() {
		facts.OnDemand = engine.Price{USD: p, At: facts.Now}
	}
	at := slices.IndexFunc(facts.Pools, func(p engine.Pool) bool { return p.ID == facts.Instance.PoolID })
	if p := price(in.Pricing.Spot, in.Pricing.Spot2); p > 0 && at >= 0 && facts.Instance.Mode == agent.Spot &&
		!facts.Pools[at].Price.IsFresh(facts.Now) {
		facts.Pools[at].Price = engine.Price{USD: p, At: facts.Now}
	}
}

type recommendation struct {
	DecisionType string            `json:"decision_type"`
	PoolID       *string           `json:"recommended_pool_id"`
	Risk         float64           `json:"risk_score"`
	Savings      float64           `json:"expected_savings"`
	Confidence   float64           `json:"confidence"`
	Reason       string            `json:"reason"`
	AgentID      string            `json:"agent_id"`
	AutoSwitch   bool              `json:"auto_switch_enabled"`
	WillExecute  bool              `json:"will_auto_execute"`
	Current      poolBrief         `json:"current_pool"`
	Alternatives []alternativePool `json:"alternative_pools"`
	Vetoes       []engine.Veto     `json:"vetoes"`
}

type poolBrief struct {
	ID   *string `json:"id"`
	Name *string `json:"name"`
	AZ   *string `json:"az"`
}

type alternativePool struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`
	AZ    string  `json:"az"`
	Price float64 `json:"spot_price"`
}

const mostAlternatives = 5

// recommend answers what decide would.
func (d *Decisions) recommend(ctx context.Context, in *web.AgentPath) (*recommendation, error) {
	facts, err := d.input(ctx, in.AgentID)
	if err != nil {
		return nil, err
	}
	got, err := d.decideAndStore(ctx, facts)
	if err != nil {
		return nil, err
	}
	out := &recommendation{
		DecisionType: got.LegacyType(),
		PoolID:       web.NilIfEmpty(got.PoolID),
		Risk:         got.Risk,
		Savings:      got.Savings,
		Confidence:   got.Confidence,
		Reason:       got.Reason,
		AgentID:      facts.Agent.ID,
		AutoSwitch:   facts.Agent.AutoSwitch,
		WillExecute:  facts.Agent.AutoSwitch && got.AsksForSwitch(),
		Alternatives: []alternativePool{},
		Vetoes:       web.EmptyIfNil(got.Vetoes),
	}
	i := facts.Instance
	if i.Mode == agent.Spot && i.PoolID != "" {
		name := web.PoolName(i.Type, i.AZ)
		out.Current = poolBrief{ID: &i.PoolID, Name: &name, AZ: &i.AZ}
	}
	for _, p := range cheapestFirst(facts) {
		if len(out.Alternatives) < mostAlternatives && (i.Mode != agent.Spot || p.ID != i.PoolID) {
			out.Alternatives = append(out.Alternatives, alternativePool{
				ID:    p.ID,
				Name:  web.PoolName(p.Type, p.AZ),
				AZ:    p.AZ,
				Price: p.Price.USD,
			})
		}
	}
	return out, nil
}

// cheapestFirst lists the pools with a price that can be acted on.
func cheapestFirst(in engine.Input) []engine.Pool {
	pools := slices.DeleteFunc(slices.Clone(in.Pools), func(p engine.Pool) bool { return !p.Price.IsFresh(in.Now) })
	slices.SortStableFunc(pools, func(a, b engine.Pool) int {
		switch {
		case a.Price.USD < b.Price.USD:
			return -1
		case a.Price.USD > b.Price.USD:
			return 1
		default:
			return 0
		}
	})
	return pools
}
