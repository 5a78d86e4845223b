package decisions

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// PoolBlocks keep the spot pools that people have launches kept out of. A pool has at
// most three blocks for a client: one of operators for all clients, one of operators
// for the client, and one of the client. Each is lifted by who may set it.
type PoolBlocks struct{ DB *pg.DB }

// BlockSubject is which pool is blocked for whom, and who asks.
type BlockSubject struct {
	PoolID   string
	ClientID string // empty: for all clients
	Operator bool   // asks as an operator
	By       string
}

// BlockView is a block that holds.
type BlockView struct {
	PoolID     string
	ClientID   *string // null: for all clients
	ByOperator bool
	Until      time.Time
	Reason     string
	CreatedBy  string
	CreatedAt  time.Time
}

const blockObject = `jsonb_build_object('until', b.until, 'reason', b.reason, 'by', b.created_by, 'by_operator', b.by_operator)`

// Set blocks the pool, or changes how its block ends, and writes an event with what was
// and what is. It sets a level, so a second run changes nothing. Fails with pool.not_found and
// clients.not_found.
func (s *PoolBlocks) Set(ctx context.Context, on BlockSubject, until time.Time, reason string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if err := on.hold(ctx, tx); err != nil {
			return err
		}
		var before, after []byte
		err := tx.QueryRow(ctx, `
			WITH before AS (
				SELECT `+blockObject+` AS what
				FROM pool_blocks b
				WHERE pool_id = $1 AND subject = $2 AND by_operator = $3 AND until > now()),
			after AS (
				INSERT INTO pool_blocks AS b (pool_id, subject, by_operator, client_id, until, reason, created_by)
				VALUES ($1, $2, $3, nullif($2, ''), $4, $5, $6)
				ON CONFLICT ON CONSTRAINT pool_blocks_one_per_subject
				DO UPDATE SET until = excluded.until, reason = excluded.reason, created_by = excluded.created_by,
					created_at = CASE WHEN b.until > now() THEN b.created_at ELSE now() END
				RETURNING `+blockObject+` AS what)
			SELECT (SELECT what FROM before), (SELECT what FROM after)`,
			on.PoolID, on.ClientID, on.Operator, until, reason, on.By).Scan(&before, &after)
		if err != nil || string(before) == string(after) {
			return err
		}
		return on.recordEvent(ctx, tx, "pool_blocked",
			"Nothing is launched in "+on.PoolID+" until "+until.UTC().Format("2006-01-02 15:04 UTC")+": "+reason,
			before, after)
	})
}

// Lift ends the blocks of the pool that the caller may lift, and says whether one held.
// Fails with pool.not_found and clients.not_found.
func (s *PoolBlocks) Lift(ctx context.Context, on BlockSubject) (lifted bool, err error) {
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if err := on.hold(ctx, tx); err != nil {
			return err
		}
		r, err := tx.Query(ctx, `
			DELETE FROM pool_blocks b
			WHERE pool_id = $1 AND subject = $2 AND ($3 OR NOT by_operator) AND until > now()
			RETURNING `+blockObject, on.PoolID, on.ClientID, on.Operator)
		if err != nil {
			return err
		}
		held, err := pgx.CollectRows(r, pgx.RowTo[[]byte])
		if err != nil {
			return err
		}
		for _, before := range held {
			if err := on.recordEvent(ctx, tx, "pool_unblocked",
				"Instances are launched in "+on.PoolID+" again", before, nil); err != nil {
				return err
			}
		}
		lifted = len(held) > 0
		return nil
	})
	return lifted, err
}

// List lists the blocks that hold; for a client, those that keep its launches out.
func (s *PoolBlocks) List(ctx context.Context, clientID, poolID string) ([]BlockView, error) {
	return pg.QueryRows[BlockView](ctx, s.DB, `
		SELECT pool_id, client_id, by_operator, until, reason, created_by, created_at
		FROM pool_blocks
		WHERE until > now()
		  AND ($1 = '' OR subject IN ('', $1))
		  AND ($2 = '' OR pool_id = $2)
		ORDER BY pool_id, subject, by_operator DESC`, clientID, poolID)
}

// hold finds the pool and the client, and holds the pool until the transaction ends.
func (on BlockSubject) hold(ctx context.Context, tx pgx.Tx) error {
	var found, owner bool
	err := tx.QueryRow(ctx, `
		WITH p AS (SELECT FROM pools WHERE id = $1 FOR NO KEY UPDATE)
		SELECT EXISTS (SELECT FROM p), $2 = '' OR EXISTS (SELECT FROM clients WHERE id = $2)`,
		on.PoolID, on.ClientID).Scan(&found, &owner)
	switch {
	case err != nil:
		return err
	case !found:
		return views.UnknownPool.New("Pool not found")
	case !owner:
		return clients.NotFound.New("Client not found")
	}
	return nil
}

func (on BlockSubject) recordEvent(ctx context.Context, tx pgx.Tx, event, message string, before, after []byte) error {
	return pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: on.ClientID,
		Type:     event,
		Severity: "warning",
		Actor:    on.By,
		Message:  message,
		Metadata: map[string]any{
			"pool_id": on.PoolID, "before": pg.JSONOrNull(before), "after": pg.JSONOrNull(after),
		},
	})
}

// blockOfPool is the block of the pool k.id that ends last for the client of agent a.
const blockOfPool = `LEFT JOIN LATERAL (
	SELECT b.until, b.created_by, b.reason
	FROM pool_blocks b
	WHERE b.pool_id = k.id
	  AND b.subject IN ('', a.client_id)
	  AND b.until > now()
	ORDER BY b.until DESC
	LIMIT 1) pb ON true`

// CheckPoolOpen refuses an order into a pool that a person has blocked. Fails with
// pool.blocked.
func CheckPoolOpen(ctx context.Context, tx pgx.Tx, in switching.SwitchRequest) error {
	if in.Target.PoolID == "" || in.Target.Mode == agent.OnDemand {
		return nil
	}
	var by, reason string
	var until time.Time
	err := tx.QueryRow(ctx, `
		SELECT b.created_by, b.reason, b.until
		FROM pool_blocks b
		JOIN agents a ON a.id = $2 AND b.subject IN ('', a.client_id)
		WHERE b.pool_id = $1
		  AND b.until > now()
		ORDER BY b.until DESC
		LIMIT 1`, in.Target.PoolID, in.AgentID).Scan(&by, &reason, &until)
	if pg.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return switching.PoolBlocked.New("%s Lift the block first, or choose another pool.",
		engine.BlockSentence(in.Target.PoolID, by, reason, until))
}
