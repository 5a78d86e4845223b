package agents

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// Requirements keeps which instance types may replace those of agents.
type Requirements struct{ DB *pg.DB }

// TypesOf is the input of the choice among instance types.
type TypesOf struct {
	Present      string               `json:"present"` // the primary's type
	Requirements replica.Requirements `json:"requirements"`
	Architecture string               `json:"architecture"` // of the image; empty: not known
	Types        []replica.TypeFacts  `json:"types"`
}

// Resolve returns the requirements with what follows from the present type, and false when
// EC2 was not asked yet what that is.
func (t *TypesOf) Resolve() (replica.Requirements, bool) {
	at := slices.IndexFunc(t.Types, func(f replica.TypeFacts) bool { return f.Name == t.Present })
	if at < 0 {
		return t.Requirements, false
	}
	return t.Requirements.Resolve(t.Types[at], t.Architecture), true
}

// Load reads an agent's requirements, those of its client underneath, and all types of its
// region. An empty clientID is any tenant. Fails with agent.not_found, also when the agent
// has no primary.
func (s *Requirements) Load(ctx context.Context, clientID, agentID string) (*TypesOf, error) {
	return loadTypes(ctx, s.DB.Pool, clientID, agentID)
}

// rowQuerier is a pool or a transaction.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func loadTypes(ctx context.Context, db rowQuerier, clientID, agentID string) (*TypesOf, error) {
	var out TypesOf
	err := db.QueryRow(ctx, `
SELECT jsonb_build_object('present', p.instance_type, 'requirements', c.requirements || a.requirements,
	'architecture', coalesce(l.template->>'architecture', ''),
	'types', coalesce((
		SELECT jsonb_agg(jsonb_build_object('name', t.name, 'vcpus', t.vcpus, 'memory_mib', t.memory_mib,
			'architectures', t.architectures,
			'burstable', t.burstable, 'accelerators', t.accelerators, 'local_gb', t.local_gb, 'current', t.current,
			'bare_metal', t.bare_metal)
			ORDER BY t.name)
		FROM instance_types t
		WHERE t.region = p.region), '[]'))
FROM agents a
JOIN clients c ON c.id = a.client_id
JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
LEFT JOIN launch_templates l ON l.agent_id = a.id
WHERE a.id = $1 AND ($2 = '' OR a.client_id = $2) AND a.status <> 'deleted'`, agentID, clientID).Scan(&out)
	if pg.IsNoRows(err) {
		return nil, pg.UnknownAgent(agentID)
	}
	return &out, pg.Translate(err)
}

// Set replaces the requirements of an agent. Together with those of its client they have to
// leave a type. Fails with agent.not_found and replica.bad_requirements.
func (s *Requirements) Set(ctx context.Context, clientID, agentID string, need replica.Requirements, by string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var client string
		var before replica.Requirements
		err := tx.QueryRow(ctx, `
WITH was AS (
	SELECT id, requirements
	FROM agents
	WHERE id = $1 AND ($2 = '' OR client_id = $2) AND status <> 'deleted'
	FOR NO KEY UPDATE
)
UPDATE agents a
SET requirements = $3,
	updated_at = now()
FROM was
WHERE a.id = was.id
RETURNING a.client_id, was.requirements`, agentID, clientID, need).Scan(&client, &before)
		if pg.IsNoRows(err) {
			return pg.UnknownAgent(agentID)
		}
		if err != nil {
			return err
		}
		if err := checkTypes(ctx, tx, need, agentID); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: client,
			AgentID:  agentID,
			Type:     "requirements_changed",
			Severity: "info",
			Actor:    by,
			Message:  "The requirements for instance types were changed",
			Metadata: map[string]any{"before": before, "after": need},
		})
	})
}

// checkTypes judges new requirements of an agent together with those that lie beneath or above. An
// agent without a primary has nothing to be judged by.
func checkTypes(ctx context.Context, tx pgx.Tx, set replica.Requirements, agentID string) error {
	if set.IsZero() {
		return nil
	}
	of, err := loadTypes(ctx, tx, "", agentID)
	if fault.Is(err, agent.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := of.Requirements.Validate(); err != nil {
		return err
	}
	return of.Requirements.Check(of.Present, of.Architecture, of.Types)
}

// differentAgents lists one agent of a client for each type, region, architecture and set of
// requirements, with its name.
const differentAgents = `
SELECT DISTINCT ON (p.region, p.instance_type, coalesce(l.template->>'architecture', ''), a.requirements)
	a.id, a.logical_agent_id
FROM agents a
JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
LEFT JOIN launch_templates l ON l.agent_id = a.id
WHERE a.client_id = $1
  AND a.status <> 'deleted'
ORDER BY p.region, p.instance_type, coalesce(l.template->>'architecture', ''), a.requirements, a.logical_agent_id`

// checkEveryAgent judges new requirements of a client for each kind of agent that it has.
func checkEveryAgent(ctx context.Context, tx pgx.Tx, set replica.Requirements, clientID string) error {
	if set.IsZero() {
		return nil
	}
	rows, err := tx.Query(ctx, differentAgents, clientID)
	if err != nil {
		return err
	}
	type named struct{ ID, Name string }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[named])
	if err != nil {
		return err
	}
	for _, a := range list {
		err := checkTypes(ctx, tx, set, a.ID)
		if fault.Is(err, replica.BadRequirements) {
			return replica.BadRequirements.New("agent %s: %s. Give it requirements of its own first, or change these",
				a.Name, err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// LoadOfClient reads the requirements of a client. Fails with clients.not_found.
func (s *Requirements) LoadOfClient(ctx context.Context, clientID string) (need replica.Requirements, err error) {
	err = s.DB.Pool.QueryRow(ctx, `SELECT requirements FROM clients WHERE id = $1`, clientID).Scan(&need)
	if pg.IsNoRows(err) {
		return need, clients.NotFound.New("Client not found")
	}
	return need, pg.Translate(err)
}

// SetOfClient replaces the requirements of a client. They have to leave each of its agents a
// type. Fails with clients.not_found and replica.bad_requirements.
func (s *Requirements) SetOfClient(ctx context.Context, clientID string, need replica.Requirements, by string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var before replica.Requirements
		err := tx.QueryRow(ctx, `
WITH was AS (
	SELECT id, requirements
	FROM clients
	WHERE id = $1
	FOR NO KEY UPDATE
)
UPDATE clients c
SET requirements = $2,
	updated_at = now()
FROM was
WHERE c.id = was.id
RETURNING was.requirements`, clientID, need).Scan(&before)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil {
			return err
		}
		if err := checkEveryAgent(ctx, tx, need, clientID); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "requirements_changed",
			Severity: "info",
			Actor:    by,
			Message:  "The client's requirements for instance types were changed",
			Metadata: map[string]any{"before": before, "after": need},
		})
	})
}
