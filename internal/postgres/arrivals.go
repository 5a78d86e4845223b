package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/interruption"
)

// Notices takes notices in at the door: durable first, then whoever acts on them.
type Notices struct{ DB *DB }

// Arrival is what is known of a notice the moment it is durable.
type Arrival struct {
	Outcome   interruption.Outcome
	First     bool // nobody had told us before
	Delivered bool // a Guardian has taken it
	// Primary says that the instance is the agent's primary now.
	Primary bool
	// Known says that the instance is or was the agent's. A notice about any other
	// is acknowledged and not acted on, and leaves no row.
	Known    bool
	Launcher agent.Launcher
}

// Decided says whether the notice can be answered without asking anybody.
func (a *Arrival) Decided() bool {
	return a.Known && a.Outcome.Result != interruption.Undecided && a.Outcome.Result != interruption.Lost
}

// Arrive makes a notice durable before anybody acts on it, and answers what
// became of it so far: the same notice through whichever door is one row, and
// counts its arrivals. A notice without a deadline gets one from the database's
// clock. Fails with agent.not_found, also for another tenant's agent.
func (s *Notices) Arrive(ctx context.Context, clientID string, n interruption.Notice) (*Arrival, error) {
	var out Arrival
	err := s.DB.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT a.launcher, i.id IS NOT NULL, coalesce(i.role = 'primary', false)
			FROM agents a LEFT JOIN instances i ON i.id = $3 AND i.agent_id = a.id
			WHERE a.id = $2 AND ($1 = '' OR a.client_id = $1) AND a.status <> 'deleted'`, clientID, n.AgentID, n.InstanceID).Scan(&out.Launcher, &out.Known, &out.Primary)
		if noRows(err) {
			return unknownAgent(n.AgentID)
		}
		if err != nil || !out.Known {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(insertNotice, noticeRow(n, false)...)
		queueInterruption(b, n)
		b.Queue(`SELECT instance_id, kind, deadline, deadline <= clock_timestamp(), result, coalesce(replica_id, ''), coalesce(new_primary, ''), arrivals = 1, delivered_at IS NOT NULL
			FROM notices WHERE agent_id = $1 AND instance_id = $2 AND kind = $3`, n.AgentID, n.InstanceID, n.Kind).QueryRow(func(row pgx.Row) error {
			o := &out.Outcome
			return row.Scan(&o.InstanceID, &o.Kind, &o.Deadline, &o.Past, &o.Result, &o.ReplicaID, &o.NewPrimary, &out.First, &out.Delivered)
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, err
	}
	out.Outcome.Deadline = out.Outcome.Deadline.UTC()
	return &out, nil
}

// Undelivered lists the notices that no Guardian has taken within a while, oldest
// first, for those who deliver them again.
func (s *Notices) Undelivered(ctx context.Context, olderThan time.Duration, limit int) ([]interruption.Notice, error) {
	rows, err := s.DB.Pool.Query(ctx, `SELECT agent_id, instance_id, kind, deadline, door FROM notices
		WHERE delivered_at IS NULL AND received_at < clock_timestamp() - $1::float8 * interval '1 second' ORDER BY received_at LIMIT $2`, olderThan.Seconds(), limit)
	if err != nil {
		return nil, translate(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[interruption.Notice])
	return out, translate(err)
}

// Unattended lists agents whose roles want a Guardian that perhaps nobody woke:
// a replica that was decided on and not begun, a hold that has run out, a notice
// past its deadline without an end or a notice without an heir on its way, a
// promotion without its aftercare, a switch that never began and, when no storm is
// on, a failover without its aftercare and a manual mode without its standby. Who
// asks takes them on: for the same while nobody else is told of them.
func (s *Notices) Unattended(ctx context.Context, idle time.Duration, limit int) ([]string, error) {
	rows, err := s.DB.Pool.Query(ctx, `WITH waiting AS (
			SELECT agent_id FROM replicas r WHERE state = 'requested' AND (launcher = 'control-plane' OR NOT `+replicaBegun+`)
				AND greatest(created_at, coalesce(not_before, created_at)) < clock_timestamp() - $1::float8 * interval '1 second'
			UNION SELECT agent_id FROM replicas WHERE state = 'ready' AND hold_until < clock_timestamp() - $1::float8 * interval '1 second'
			UNION SELECT agent_id FROM notices WHERE result = '' AND delivered_at IS NOT NULL AND deadline < clock_timestamp() - $1::float8 * interval '1 second'
			UNION SELECT n.agent_id FROM notices n JOIN agents a ON a.id = n.agent_id JOIN instances i ON i.id = n.instance_id AND i.agent_id = n.agent_id AND i.role = 'primary'
				WHERE n.result IN ('', 'lost') AND (n.kind = 'termination-notice' OR n.result = '' AND a.keeping = 'auto') AND n.delivered_at < clock_timestamp() - $1::float8 * interval '1 second'
				AND NOT EXISTS (SELECT FROM replicas r WHERE r.agent_id = n.agent_id AND r.state IN ('requested', 'launching', 'running', 'ready'))
			UNION SELECT n.agent_id FROM notices n WHERE n.kind = 'termination-notice' AND n.result = 'promoted' AND NOT `+storm+`
				AND n.delivered_at < clock_timestamp() - $1::float8 * interval '1 second' AND n.deadline > clock_timestamp() - interval '10 minutes'
				AND NOT EXISTS (SELECT FROM operations o WHERE o.id = 'termination/' || n.agent_id || '/' || n.instance_id)
			UNION SELECT a.id FROM agents a WHERE a.keeping = 'manual' AND NOT `+storm+` AND a.enabled AND a.status <> 'deleted'
				AND EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary')
				AND NOT EXISTS (SELECT FROM replicas r WHERE r.agent_id = a.id AND r.kind <> 'switch' AND r.state IN ('requested', 'launching', 'running', 'ready'))
			UNION SELECT c.agent_id FROM role_changes c WHERE `+promotionLeftAlone+`
			UNION SELECT c.agent_id FROM commands c JOIN replicas r ON r.agent_id = c.agent_id AND r.made_for = c.id WHERE `+switchLeftAlone+`),
		mine AS (
			SELECT id FROM agents JOIN waiting ON agent_id = id WHERE woken_at IS NULL OR woken_at < clock_timestamp() - $1::float8 * interval '1 second'
			ORDER BY id LIMIT $2 FOR NO KEY UPDATE OF agents SKIP LOCKED)
		UPDATE agents a SET woken_at = clock_timestamp() FROM mine WHERE a.id = mine.id RETURNING a.id`, idle.Seconds(), limit)
	if err != nil {
		return nil, translate(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, translate(err)
}

var _ activities.NoticeStore = (*Notices)(nil)
