package views

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/postgres/pg"
)

// AgentDecisions is what an agent decided and reported lately.
type AgentDecisions struct {
	AgentID     string
	LogicalID   string
	AgentName   string
	Status      string
	CurrentMode string
	CurrentPool string   // empty: it has no primary
	SinceBeat   *float64 // seconds, by the database's clock; null: never
	Decisions   []PastDecision
	Reports     []PastReport
	ReportCount int // of the last ten minutes, among the newest 24
	Events      []PastEvent
}

// PastDecision is one decision of an engine.
type PastDecision struct {
	Action          string
	RiskScore       float64
	ExpectedSavings float64 // USD per hour
	CurrentMode     string
	At              time.Time
	Age             time.Duration // by the database's clock
}

// PastReport is one pricing report, in USD per hour.
type PastReport struct {
	At       time.Time
	OnDemand float64
	Spot     float64
}

// PastEvent is one event about the agent.
type PastEvent struct {
	Type     string
	Severity string
	Message  string
	At       time.Time
}

// How many of each are shown, and how old reports may be.
const (
	pastShown     = 5
	reportsShown  = time.Hour
	reportsLately = 10 * time.Minute
)

// AgentDecisions reads the newest five decisions, reports and events of each of a
// client's agents that are not deleted: newest heartbeat first, or in pages by logical
// id. It is two statements in one round trip, joined here: what agents decided and
// reported is kept as one row for each, and its events are found by index. So the cost
// is that of the page, however long the past is and however many other agents there are.
func (v *Views) AgentDecisions(ctx context.Context, clientID string, p pg.Page) ([]AgentDecisions, error) {
	const all = `a.client_id = $1 AND a.status <> 'deleted'`
	which, order, args := all, `ORDER BY a.last_heartbeat_at DESC NULLS LAST, a.id`, []any{clientID}
	ofEvents := ``
	if !p.Whole() {
		which, order = all+` AND a.logical_agent_id > $2`, `ORDER BY a.logical_agent_id LIMIT $3`
		args = []any{clientID, p.After.ID, p.UpTo()}
		ofEvents = order
	}
	found := &agentPasts{list: []AgentDecisions{}, places: map[string]int{}}
	b := &pgx.Batch{}
	b.Queue(`
SELECT a.id, a.logical_agent_id, coalesce(nullif(a.hostname, ''), a.logical_agent_id), a.status,
    coalesce(i.mode, 'unknown'),
	coalesce(i.pool_id, ''), now(), a.last_heartbeat_at, d.at, d.actions, d.modes, d.risks, d.savings, r.at,
	r.on_demand[1:5], r.spot[1:5]
FROM agents a
LEFT JOIN instances i ON i.agent_id = a.id AND i.role = 'primary'
LEFT JOIN agent_decisions d ON d.agent_id = a.id
LEFT JOIN agent_reports r ON r.agent_id = a.id
WHERE `+which+`
`+order, args...).Query(found.agents)
	b.Queue(`
SELECT a.id, e.type, e.severity, e.message, e.created_at
FROM (SELECT a.id FROM agents a WHERE `+which+` `+ofEvents+`) a
CROSS JOIN LATERAL (
	SELECT type, severity, message, created_at
	FROM events
	WHERE agent_id = a.id
	ORDER BY id DESC
	LIMIT 5) e`, args...).Query(found.events)
	if err := v.DB.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Translate(err)
	}
	return found.list, nil
}

// agentPasts collects the page from raw rows, whose columns are in the order of the
// statements.
type agentPasts struct {
	list   []AgentDecisions
	places map[string]int // in the list, by id
	words  map[string]string
}

// word returns a text that occurs in many rows; each text is allocated once.
func (p *agentPasts) word(raw []byte) string {
	if w, known := p.words[string(raw)]; known {
		return w
	}
	if p.words == nil {
		p.words = map[string]string{}
	}
	w := string(raw)
	p.words[w] = w
	return w
}

func (p *agentPasts) agents(r pgx.Rows) error {
	defer r.Close()
	for r.Next() {
		raw := r.RawValues()
		now := pg.DecodeTimestamp(raw[6])
		a := AgentDecisions{
			AgentID: string(raw[0]), LogicalID: string(raw[1]), AgentName: string(raw[2]),
			Status: p.word(raw[3]), CurrentMode: p.word(raw[4]), CurrentPool: p.word(raw[5]),
			Decisions: p.decisions(now, raw[8:13]),
		}
		if raw[7] != nil {
			seconds := now.Sub(pg.DecodeTimestamp(raw[7])).Seconds()
			a.SinceBeat = &seconds
		}
		a.Reports, a.ReportCount = reportsOf(now, raw[13:16])
		p.places[a.AgentID] = len(p.list)
		p.list = append(p.list, a)
	}
	return r.Err()
}

func (p *agentPasts) decisions(now time.Time, raw [][]byte) []PastDecision {
	at, actions, modes, risks, savings := pg.DecodeArray(raw[0]), pg.DecodeArray(raw[1]), pg.DecodeArray(
		raw[2]), pg.DecodeArray(raw[3]), pg.DecodeArray(raw[4])
	if at.Length() == 0 {
		return nil
	}
	out := make([]PastDecision, at.Length())
	for i := range out {
		d := &out[i]
		d.At, d.Action, d.CurrentMode = at.Time(), p.word(actions.Next()), p.word(modes.Next())
		d.RiskScore, d.ExpectedSavings, d.Age = risks.Number(), savings.Number(), now.Sub(d.At)
	}
	return out
}

// reportsOf are those that are shown, and how many there were lately.
func reportsOf(now time.Time, raw [][]byte) (shown []PastReport, lately int) {
	at, onDemand, spot := pg.DecodeArray(raw[0]), pg.DecodeArray(raw[1]), pg.DecodeArray(raw[2])
	for at.Length() > 0 {
		t := at.Time()
		age := now.Sub(t)
		if age < reportsLately {
			lately++
		}
		if onDemand.Length() > 0 && age < reportsShown {
			if shown == nil {
				shown = make([]PastReport, 0, pastShown)
			}
			shown = append(shown, PastReport{
				At:       t,
				OnDemand: float64(onDemand.Integer()) / 1e6,
				Spot:     float64(spot.Integer()) / 1e6,
			})
		}
	}
	return shown, lately
}

func (p *agentPasts) events(r pgx.Rows) error {
	defer r.Close()
	for r.Next() {
		raw := r.RawValues()
		n, listed := p.places[string(raw[0])]
		if !listed { // it was made between the two statements
			continue
		}
		a := &p.list[n]
		if a.Events == nil {
			a.Events = make([]PastEvent, 0, pastShown)
		}
		a.Events = append(a.Events, PastEvent{
			Type:     p.word(raw[1]),
			Severity: p.word(raw[2]),
			Message:  string(raw[3]),
			At:       pg.DecodeTimestamp(raw[4]),
		})
	}
	return r.Err()
}
