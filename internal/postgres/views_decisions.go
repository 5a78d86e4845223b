package postgres

import (
	"context"
	"time"
)

// AgentDecisions is what an agent decided and reported lately.
type AgentDecisions struct {
	AgentID       string
	LogicalID     string
	AgentName     string
	Status        string
	CurrentMode   string
	CurrentPoolID *string
	LastHeartbeat *time.Time
	SinceBeat     *float64 // seconds, by the database's clock
	Decisions     []PastDecision
	Reports       []PastReport
	ReportCount   int // of the last ten minutes
	Events        []PastEvent
}

// PastDecision is one decision of an engine.
type PastDecision struct {
	Action          string    `json:"action"`
	RiskScore       float64   `json:"risk_score"`
	ExpectedSavings float64   `json:"expected_savings"` // USD per hour
	CurrentMode     string    `json:"current_mode"`
	At              time.Time `json:"created_at"`
	Age             float64   `json:"age"` // seconds
}

// PastReport is one pricing report, in USD per hour.
type PastReport struct {
	At       time.Time `json:"at"`
	OnDemand float64   `json:"on_demand"`
	Spot     float64   `json:"spot"`
}

// PastEvent is one event about the agent.
type PastEvent struct {
	Type     string    `json:"type"`
	Severity string    `json:"severity"`
	Message  string    `json:"message"`
	At       time.Time `json:"created_at"`
}

// reportRows bounds what is read of an agent's reports: the newest five and those
// of ten minutes, of agents that report two dozen pools every few minutes.
const reportRows = "120"

// AgentDecisions reads the newest five decisions, reports and events of each of a
// client's agents that are not deleted, by index, in one statement: newest
// heartbeat first, or in pages by logical id.
func (v *Views) AgentDecisions(ctx context.Context, clientID string, p Page) ([]AgentDecisions, error) {
	order := `ORDER BY a.last_heartbeat_at DESC NULLS LAST, a.id`
	if !p.whole() {
		order = `ORDER BY a.logical_agent_id`
	}
	return rows[AgentDecisions](ctx, v.DB, `
		SELECT a.id AS agent_id, a.logical_agent_id AS logical_id, coalesce(nullif(a.hostname, ''), a.logical_agent_id) AS agent_name, a.status,
		       coalesce(i.mode, 'unknown') AS current_mode, i.pool_id AS current_pool_id, a.last_heartbeat_at AS last_heartbeat,
		       extract(epoch FROM now() - a.last_heartbeat_at)::float8 AS since_beat,
		       d.list AS decisions, coalesce(r.list, '[]') AS reports, coalesce(r.n, 0) AS report_count, e.list AS events
		FROM agents a
		LEFT JOIN LATERAL (SELECT mode, pool_id FROM instances p WHERE p.agent_id = a.id AND p.role = 'primary' LIMIT 1) i ON true
		LEFT JOIN LATERAL (
			SELECT coalesce(jsonb_agg(to_jsonb(x) ORDER BY x.id DESC), '[]') AS list FROM (
				SELECT id, action, risk_score, expected_savings, current_mode, created_at, extract(epoch FROM now() - created_at) AS age
				FROM decisions WHERE agent_id = a.id AND NOT shadow ORDER BY id DESC LIMIT 5) x) d ON true
		LEFT JOIN LATERAL (
			SELECT jsonb_agg(to_jsonb(x) ORDER BY x.at DESC) FILTER (WHERE x.place <= 5) AS list,
			       count(*) FILTER (WHERE x.at > now() - interval '10 minutes') AS n
			FROM (SELECT received_at AS at, coalesce(max(ondemand_price), 0) AS on_demand,
			             coalesce(min(price) FILTER (WHERE pool_id = i.pool_id), min(price), 0) AS spot,
			             row_number() OVER (ORDER BY received_at DESC) AS place
			      FROM (SELECT received_at, ondemand_price, price, pool_id FROM price_submissions
			            WHERE agent_id = a.id AND received_at > now() - interval '1 hour' AND observed_at > now() - interval '2 hours'
			            ORDER BY received_at DESC LIMIT `+reportRows+`) newest
			      GROUP BY received_at) x) r ON true
		LEFT JOIN LATERAL (
			SELECT coalesce(jsonb_agg(to_jsonb(x) ORDER BY x.id DESC), '[]') AS list FROM (
				SELECT id, type, severity, message, created_at FROM events WHERE agent_id = a.id ORDER BY id DESC LIMIT 5) x) e ON true
		WHERE a.client_id = $1 AND a.status <> 'deleted' AND a.logical_agent_id > $2
		`+order+` LIMIT $3`, clientID, p.After.ID, p.upTo())
}
