package agents

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/flight"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/pg"
)

// InstanceInUse means that an instance plays a part for another agent of the
// same tenant.
var InstanceInUse = fault.Define("agent.instance_in_use", fault.Conflict)

// Agents stores agents' reports about themselves. Roles decides which instance has which
// role; the one exception, an agent that has lost its primary for good, is in takeOver.
type Agents struct {
	DB *pg.DB

	beats flight.Batch[agent.Heartbeat, *HeartbeatResult]
}

// AgentConfig is an agent's configuration with its limits.
type AgentConfig struct {
	AgentID            string
	ClientID           string
	LogicalAgentID     string
	Hostname           string
	Status             agent.Status
	Launcher           agent.Launcher
	Keeping            agent.StandbyMode
	Enabled            bool
	AutoTerminate      bool
	TerminateWait      int // seconds
	ReplicaEnabled     bool
	ReplicaCount       int
	MinSavingsPercent  float64
	RiskThreshold      float64
	MaxSwitchesPerWeek int
	MaxSwitchesPerDay  int
	MinPoolHours       int
}

const selectConfig = `
SELECT id AS agent_id, client_id, logical_agent_id, hostname, status, launcher, keeping, enabled,
    auto_terminate_enabled AS auto_terminate,
       terminate_wait_seconds AS terminate_wait, replica_enabled, replica_count,
       min_savings_percent::float8 AS min_savings_percent,
       risk_threshold::float8 AS risk_threshold, max_switches_per_week, max_switches_per_day,
       min_pool_duration_hours AS min_pool_hours
FROM agents WHERE `

// Config reads an agent's configuration. Fails with agent.not_found.
func (s *Agents) Config(ctx context.Context, clientID, agentID string) (*AgentConfig, error) {
	out, err := pg.QueryRow[AgentConfig](ctx, s.DB, selectConfig+`id = $1 AND ($2 = '' OR client_id = $2)`, agentID,
		clientID)
	if pg.IsNoRows(err) {
		return nil, agent.NotFound.New("Agent not found")
	}
	return out, err
}

// Registered is what became of a registration.
type Registered struct {
	AgentConfig
	Relation  agent.InstanceRelation
	ReplicaID string // the open replica that the instance is, or may be
	CommandID string // the agent-launched switch that the instance comes from
	AwaitedBy string // the id of the operation that waits for this instance's registration: a switch or a promotion
	Takeover  Takeover
}

// Register records that an agent has started, judged by (agent, instance): a new
// agent begins with this instance as its primary; the primary refreshes the
// agent; every other instance only gives a sign of life. A deleted agent is not
// revived. Everything is one transaction under the agent's lock, so two first
// registrations at once make one agent.
//
// An instance that another client has named first is refused. While only that client's claim
// exists, EC2 is asked for the owner; the owner's registration after the answer succeeds.
//
// Fails with agent.instance_of_another_tenant and agent.instance_in_use.
func (s *Agents) Register(ctx context.Context, r agent.Registration) (*Registered, error) {
	out := &Registered{}
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		created, err := s.lockOrCreate(ctx, tx, r, out)
		if err == nil && created {
			err = accounts.CheckAgents(ctx, tx, r.ClientID)
		}
		if err != nil {
			return err
		}
		if out.Status == agent.StatusDeleted {
			out.Enabled, out.Keeping, out.Relation = false, agent.KeepOff, agent.RelationOutside
			return nil
		}
		if err := s.findRelation(ctx, tx, r, out); err != nil {
			return err
		}
		if out.Relation == agent.RelationOutside && !created {
			if err := s.recordOrigin(ctx, tx, r, out); err != nil {
				return err
			}
		}
		return s.recordStart(ctx, tx, r, out, created)
	})
	if fault.Is(err, agent.InstanceOfOtherTenant) {
		if claim := s.claimInstance(ctx, r); claim != nil {
			return nil, claim
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// lockOrCreate finds the agent, or makes it, and holds its lock.
func (s *Agents) lockOrCreate(
	ctx context.Context,
	tx pgx.Tx,
	r agent.Registration,
	out *Registered,
) (created bool, err error) {
	tag, err := tx.Exec(
		ctx,
		`
		INSERT INTO agents (id, client_id, logical_agent_id, hostname, agent_version, private_ip, public_ip, launcher,
			last_heartbeat_at)
		VALUES ($1, $2, $3, $4, $5, nullif($6, ''), nullif($7, ''), $8, clock_timestamp())
		ON CONFLICT ON CONSTRAINT agents_logical_key DO NOTHING`,
		uuid.NewString(),
		r.ClientID,
		r.LogicalID,
		r.Hostname,
		r.Version,
		r.PrivateIP,
		r.PublicIP,
		cmp.Or(r.Launcher, agent.ControlPlane),
	)
	if err != nil {
		return false, err
	}
	rows, err := tx.Query(ctx, selectConfig+`client_id = $1 AND logical_agent_id = $2 FOR NO KEY UPDATE`, r.ClientID,
		r.LogicalID)
	if err != nil {
		return false, err
	}
	out.AgentConfig, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[AgentConfig])
	return tag.RowsAffected() == 1, err
}

// findRelation finds out how the instance stands to the agent.
func (s *Agents) findRelation(ctx context.Context, tx pgx.Tx, r agent.Registration, out *Registered) error {
	var clientID, role string
	var owner *string
	read := func() error {
		return tx.QueryRow(ctx, `SELECT client_id, agent_id, role FROM instances WHERE id = $1 FOR NO KEY UPDATE`,
			r.InstanceID).Scan(&clientID, &owner, &role)
	}
	err := read()
	if pg.IsNoRows(err) { // a row that is not there cannot be locked, so its name is: two that name it first take turns
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('instance/' || $1, 0))`,
			r.InstanceID); err != nil {
			return err
		}
		err = read()
	}
	switch {
	case pg.IsNoRows(err):
		out.Relation = agent.RelationOutside
		return nil
	case err != nil:
		return err
	case clientID != r.ClientID:
		return agent.ForeignInstance(r.InstanceID)
	case owner != nil && *owner == out.AgentID:
		out.Relation = agent.InstanceRelation(role)
		if out.Relation != agent.RelationReplica {
			return nil
		}
		err := tx.QueryRow(
			ctx,
			`
				SELECT CASE WHEN state = 'ready' THEN '' ELSE id END,
					CASE
						WHEN state <> 'ready' THEN ''
						WHEN kind = 'switch' THEN 'switch/' || made_for
						WHEN EXISTS (SELECT FROM promotions WHERE replica_id = id) THEN 'promotion/' || id
						ELSE '' END
				FROM replicas
				WHERE agent_id = $1 AND instance_id = $2 AND state IN ('requested', 'launching', 'running', 'ready')`,
			out.AgentID,
			r.InstanceID,
		).Scan(&out.ReplicaID, &out.AwaitedBy)
		if pg.IsNoRows(err) {
			return nil
		}
		return err
	case owner != nil && role != string(agent.Retired):
		return InstanceInUse.New("Instance %s belongs to another agent of this client.", r.InstanceID).
			With("agent_id", *owner)
	}
	out.Relation = agent.RelationOutside // retired from another agent, it may start anew with this one
	return nil
}

// recordOrigin finds out where an instance comes from that has no row. Only an agent
// launches without the control plane: for a switch that it was ordered to make, or for a
// replica that it saw in its list and has not named yet. When the primary is lost the
// instance follows it, whether or not a replica still waits for an instance.
func (s *Agents) recordOrigin(ctx context.Context, tx pgx.Tx, r agent.Registration, out *Registered) error {
	err := tx.QueryRow(ctx, `
UPDATE commands
SET leased_until = greatest(leased_until, clock_timestamp() + interval '20 minutes'),
    new_instance_id = coalesce(new_instance_id, $2)
WHERE agent_id = $1
  AND status = 'pending'
  AND launcher = 'agent'
  AND command_type = 'switch'
  AND deliveries > 0
RETURNING id`, out.AgentID, r.InstanceID).Scan(&out.CommandID)
	if err == nil || !pg.IsNoRows(err) {
		return err
	}
	if out.Takeover, err = takeOver(ctx, tx, out.AgentID, r); err != nil {
		return err
	}
	if out.Takeover.Done {
		out.Relation = agent.RelationPrimary
		return nil
	}
	var candidates []string
	if err := tx.QueryRow(ctx,
		`
		SELECT coalesce(array_agg(id), '{}')
		FROM replicas
		WHERE agent_id = $1 AND launcher = 'agent' AND instance_id IS NULL
		AND state IN ('requested', 'launching') AND coalesce(pool_id, '') IN ('', $2)`, out.AgentID,
		agent.PoolID(r.InstanceType, r.AZ)).Scan(&candidates); err != nil {
		return err
	}
	if len(candidates) == 1 { // with several, the agent must name the one that it launched
		out.ReplicaID = candidates[0]
	}
	return nil
}

// recordStart writes what the registration changes, by the instance's standing.
func (s *Agents) recordStart(
	ctx context.Context,
	tx pgx.Tx,
	r agent.Registration,
	out *Registered,
	created bool,
) error {
	b := &pgx.Batch{}
	if created {
		queueFirstInstance(b, out.AgentID, r)
		out.Relation = agent.RelationPrimary
	} else {
		queueSeen(b, out.AgentID, r)
	}
	switch out.Relation {
	case agent.RelationOutside:
		queueOutside(b, out.AgentID, r)
	case agent.RelationPrimary, agent.RelationReplica:
		pg.QueueAdoption(b, r.InstanceID)
	}
	if out.Relation == agent.RelationPrimary {
		b.Queue(
			`
			UPDATE agents
			SET hostname = $2, agent_version = $3, private_ip = nullif($4, ''), public_ip = nullif($5, ''),
				status = 'online',
			last_heartbeat_at = clock_timestamp(), terminated_at = NULL, updated_at = now()
			WHERE id = $1 AND status <> 'deleted'`,
			out.AgentID,
			r.Hostname,
			r.Version,
			r.PrivateIP,
			r.PublicIP,
		)
		out.Status = agent.StatusOnline
	}
	b.Queue(
		`
			UPDATE clients
			SET last_sync_at = now()
			WHERE id = $1 AND (last_sync_at IS NULL OR last_sync_at < now() - interval '30 seconds')`,
		r.ClientID,
	)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	t := pg.EventRecord{
		ClientID: r.ClientID, AgentID: out.AgentID, Type: "agent_registered", Severity: "info", Actor: "agent",
		Message: "Agent " + r.LogicalID + " registered from " + r.InstanceID,
		Metadata: map[string]any{
			"instance_id": r.InstanceID,
			"standing":    out.Relation,
			"mode":        r.Mode,
			"version":     r.Version,
		},
		// An agent may register every few seconds: what is the same is recorded once a day.
		Key: strings.Join([]string{"registered", out.AgentID, r.InstanceID, string(out.Relation), r.Version,
			time.Now().UTC().Format(time.DateOnly)}, "/"),
	}
	if created {
		t.Message, t.Notify = "New agent registered: "+r.LogicalID, true
	}
	if out.Relation == agent.RelationOutside && out.CommandID == "" && out.ReplicaID == "" {
		t.Type, t.Severity = "agent_outside", "warning"
		t.Message = "Agent " + r.LogicalID + " also runs on " + r.InstanceID + ", which has no part"
		t.Key = "outside/" + out.AgentID + "/" + r.InstanceID + "/" + time.Now().UTC().Format(time.DateOnly)
	}
	return pg.RecordEvent(ctx, tx, t)
}

// queueFirstInstance makes the instance of a new agent its primary. Its prices
// are those that are known of its pool.
func queueFirstInstance(b *pgx.Batch, agentID string, r agent.Registration) {
	b.Queue(
		`
		INSERT INTO instances AS i (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
			launched_by, spot_price, ondemand_price,
			baseline_price, last_seen_at, primary_since, epoch)
		SELECT $3, $1, $2, 'primary', $4, $5, $6, $7, $8, $9, 'agent',
			CASE WHEN $8 = 'spot' THEN (SELECT price FROM pool_prices WHERE pool_id = $7) END, od.price, od.price,
			clock_timestamp(), clock_timestamp(),
			(SELECT epoch FROM agents WHERE id = $2)
		FROM (SELECT (SELECT price FROM on_demand_prices WHERE region = $5 AND instance_type = $4) AS price) od
		ON CONFLICT (id)
		DO UPDATE SET agent_id = excluded.agent_id, role = 'primary', mode = excluded.mode, epoch = excluded.epoch,
			terminate_by = '',
			last_seen_at = excluded.last_seen_at, primary_since = excluded.primary_since, retiring_since = NULL,
			terminated_at = NULL
		WHERE i.client_id = excluded.client_id`,
		r.ClientID,
		agentID,
		r.InstanceID,
		r.InstanceType,
		r.Region,
		r.AZ,
		agent.PoolID(r.InstanceType, r.AZ),
		cmp.Or(r.Mode, agent.ModeUnknown),
		agent.KnownFact(r.AMI),
	).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return agent.ForeignInstance(r.InstanceID)
		}
		return nil
	})
	pg.QueueAdoption(b, r.InstanceID)
}

// queueSeen records a sign of life. It fills in facts of the instance that were not known;
// it overwrites no fact that EC2 gave.
func queueSeen(b *pgx.Batch, agentID string, r agent.Registration) {
	b.Queue(`UPDATE instances SET last_seen_at = clock_timestamp(),
			mode = CASE WHEN mode = 'unknown' THEN $3 ELSE mode END,
			ami_id = coalesce(nullif(ami_id, ''), $4),
			instance_type = CASE WHEN instance_type IN ('', 'unknown') THEN $5 ELSE instance_type END,
			az = CASE WHEN az IN ('', 'unknown') THEN $6 ELSE az END,
			region = CASE WHEN region IN ('', 'unknown') THEN $7 ELSE region END,
			pool_id = CASE WHEN instance_type IN ('', 'unknown') OR az IN ('', 'unknown') THEN $8 ELSE pool_id END
		WHERE id = $1 AND agent_id = $2`, r.InstanceID, agentID, cmp.Or(r.Mode, agent.ModeUnknown),
		agent.KnownFact(r.AMI), r.InstanceType, r.AZ, r.Region, agent.PoolID(r.InstanceType, r.AZ))
}
