package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres/pg"
)

// poll is an agent that asks for work.
type poll struct{ clientID, agentID string }

// polled is what it finds. The zero value is an unknown agent.
type polled int

const (
	nothing polled = iota + 1
	something
)

// Deliver leases the agent's most urgent pending command, if the agent performs
// commands itself and runs on the instance that the command was meant for: two running
// agents with one id must not both perform it. A delivered command is not
// delivered again before its lease ends. At most one is leased, because an agent
// performs one per poll. from is the instance that is known to ask, which gets a command
// only if it is meant for it; empty: any of the agent's may ask. Most polls find none, so
// concurrent polls share one statement that checks whether there is one. Fails with
// agent.not_found.
func (s *Commands) Deliver(ctx context.Context, clientID, agentID, from string) ([]switching.SwitchCommand, error) {
	found, err := pg.Together(ctx, &s.polls, poll{clientID, agentID}, s.poll)
	switch {
	case err != nil:
		return nil, err
	case found == something:
		return s.leaseCommand(ctx, clientID, agentID, from)
	case found == nothing:
		return []switching.SwitchCommand{}, nil
	}
	return nil, agent.NotFound.New("Agent not found")
}

// deliverable is about the agent a: a command that it is to perform now.
const deliverable = `
	SELECT c.id
	FROM commands c
	JOIN instances i ON i.agent_id = c.agent_id AND i.role = 'primary' AND i.id = c.instance_id
			WHERE c.agent_id = a.id
				AND c.status = 'pending'
				AND c.launcher = 'agent'
				AND (c.leased_until IS NULL OR c.leased_until <= clock_timestamp())`

// poll says for each agent whether there is a command for it.
func (s *Commands) poll(ctx context.Context, all []poll) ([]polled, error) {
	agents, tenants := make([]string, len(all)), make([]string, len(all))
	for n, p := range all {
		agents[n], tenants[n] = p.agentID, p.clientID
	}
	r, err := s.DB.Pool.Query(ctx, `SELECT q.n, EXISTS (`+deliverable+`)
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q(agent_id, tenant, n)
		JOIN agents a ON a.id = q.agent_id AND a.client_id = q.tenant`, agents, tenants)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out := make([]polled, len(all))
	var n int
	var some bool
	_, err = pgx.ForEachRow(r, []any{&n, &some}, func() error {
		if out[n-1] = nothing; some {
			out[n-1] = something
		}
		return nil
	})
	return out, pg.Translate(err)
}

// leaseCommand takes the command, unless another poll has it.
func (s *Commands) leaseCommand(
	ctx context.Context,
	clientID, agentID, from string,
) ([]switching.SwitchCommand, error) {
	r, err := s.DB.Pool.Query(ctx, `
		WITH due AS (
			SELECT d.id FROM agents a CROSS JOIN LATERAL (`+deliverable+`
				AND ($4 = '' OR c.instance_id = $4)
				ORDER BY c.priority DESC, c.created_at, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED) d
			WHERE a.id = $1 AND a.client_id = $2)
		UPDATE commands c
		SET leased_to = c.instance_id, leased_until = clock_timestamp() + $3::float8 * interval '1 second',
			deliveries = c.deliveries + 1
		FROM due WHERE c.id = due.id
		RETURNING c.id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id, priority,
			terminate_wait_seconds, status, created_at`,
		agentID, clientID, switching.CommandLease.Seconds(), from)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(r, func(row pgx.CollectableRow) (switching.SwitchCommand, error) {
		c, err := scanCommand(row)
		if err != nil {
			return switching.SwitchCommand{}, err
		}
		return *c, nil
	})
	return out, pg.Translate(err)
}
