package audit

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/pg"
)

// Trail keeps who did what, chained by hashes. Events come into it by a trigger of the
// database; here is what has no event, and the chain.
type Trail struct{ DB *pg.DB }

// TrailEntry is an act that is no event: one that is intended, and one that was refused.
type TrailEntry struct {
	ClientID string
	AgentID  string
	Type     string
	Outcome  trail.Outcome
	Actor    string
	Message  string
	Details  map[string]any
}

// Add writes an entry, with the request that the context carries.
func (s *Trail) Add(ctx context.Context, e TrailEntry) error {
	details, err := json.Marshal(e.Details)
	if err != nil {
		return err
	}
	if e.Details == nil {
		details = []byte("{}")
	}
	r := trail.RequestFrom(ctx)
	_, err = s.DB.Pool.Exec(ctx, `
		INSERT INTO trail (client_id, agent_id, type, outcome, actor, actor_kind, actor_id, actor_role, token_id,
			address, request_id, message, details)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		e.ClientID, e.AgentID, e.Type, e.Outcome, e.Actor, r.ActorKind, r.ActorID, r.ActorRole, r.TokenID, r.Address,
		r.RequestID, e.Message, details)
	return pg.Translate(err)
}

const selectTrail = `t.id, t.at, t.client_id, t.agent_id, t.type, t.outcome, t.actor, t.actor_kind, t.actor_id, t.actor_role,
	t.token_id, t.address, t.request_id, t.message, t.details::text AS details`

// sealLock is the advisory lock of the one process that seals.
const sealLock = 0x7472_6169_6c

// SealsAtOnce is how many entries one call of Seal takes at most.
const SealsAtOnce = 1000

// Seal chains entries that have no seal yet, and returns them with their seals. An entry whose transaction
// ended late is sealed when it is there, after others with larger ids. When another process
// seals, nothing is done.
func (s *Trail) Seal(ctx context.Context, now time.Time) (sealed []trail.SealedEntry, err error) {
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		sealed = nil
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sealLock).Scan(&mine); err != nil || !mine {
			return err
		}
		rows, err := tx.Query(ctx, `
			WITH taken AS (DELETE FROM trail_unsealed
				WHERE entry_id IN (SELECT entry_id FROM trail_unsealed ORDER BY entry_id LIMIT $1)
				RETURNING entry_id)
			SELECT `+selectTrail+` FROM trail t JOIN taken ON taken.entry_id = t.id ORDER BY t.id`, SealsAtOnce)
		if err != nil {
			return err
		}
		entries, err := pgx.CollectRows(rows, pgx.RowToStructByName[trail.Entry])
		if err != nil || len(entries) == 0 {
			return err
		}
		last, err := lastSeal(ctx, tx)
		if err != nil {
			return err
		}
		seals := trail.SealEntries(last, now, entries)
		for i := range seals {
			sealed = append(sealed, trail.SealedEntry{Seal: seals[i], Entry: &entries[i]})
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"trail_seals"}, []string{"day", "place", "entry_id", "prev", "hash"},
			pgx.CopyFromSlice(len(seals), func(i int) ([]any, error) {
				return []any{seals[i].Day, seals[i].Place, seals[i].EntryID, seals[i].Prev, seals[i].Hash}, nil
			}))
		return err
	})
	return sealed, err
}

func lastSeal(ctx context.Context, tx pgx.Tx) (*trail.Seal, error) {
	rows, err := tx.Query(ctx,
		`SELECT day, place, entry_id, prev, hash FROM trail_seals ORDER BY day DESC, place DESC LIMIT 1`)
	if err != nil {
		return nil, err
	}
	last, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[trail.Seal])
	if pg.IsNoRows(err) {
		return nil, nil
	}
	return last, err
}

// Verify reads the whole chain and checks it. The result is how many entries are sealed and
// how many wait for their seal. Each of the witnesses must be the hash of a seal. An owner of the
// database can make a new chain of other entries, but not one with a hash that has left the
// database before. Fails with trail.broken.
func (s *Trail) Verify(ctx context.Context, witnesses ...[]byte) (sealed, waiting int, err error) {
	var lost int
	if err := s.DB.Pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM trail_unsealed),
		       (SELECT count(*) FROM trail t
		        WHERE NOT EXISTS (SELECT FROM trail_seals s WHERE s.entry_id = t.id)
		          AND NOT EXISTS (SELECT FROM trail_unsealed u WHERE u.entry_id = t.id))`).Scan(&waiting,
		&lost); err != nil {
		return 0, 0, pg.Translate(err)
	}
	if lost > 0 {
		return 0, waiting, trail.Broken.New("%d entries have no seal and wait for none", lost)
	}
	for _, hash := range witnesses {
		var found bool
		if err := s.DB.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM trail_seals WHERE hash = $1)`, hash).Scan(&found); err != nil {
			return 0, waiting, pg.Translate(err)
		}
		if !found {
			return 0, waiting, trail.Broken.New("no entry has the hash %x any longer: the trail is another one than before, "+
				"or the hash is older than the %d days that it is kept", hash, int(trail.RetainFor.Hours()/24))
		}
	}
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT s.day, s.place, s.entry_id, s.prev, s.hash, t.id IS NOT NULL AS found,
		       coalesce(t.id, 0), coalesce(t.at, now()), coalesce(t.client_id, ''), coalesce(t.agent_id, ''),
		       coalesce(t.type, ''), coalesce(t.outcome, ''),
		       coalesce(t.actor, ''), coalesce(t.actor_kind, ''), coalesce(t.actor_id, ''), coalesce(t.actor_role, ''),
		       coalesce(t.token_id, ''), coalesce(t.address, ''),
		       coalesce(t.request_id, ''), coalesce(t.message, ''), coalesce(t.details::text, '')
		FROM trail_seals s LEFT JOIN trail t ON t.id = s.entry_id ORDER BY s.day, s.place`)
	if err != nil {
		return 0, waiting, pg.Translate(err)
	}
	defer rows.Close()
	var chain trail.Verifier
	for rows.Next() {
		var next trail.SealedEntry
		var e trail.Entry
		var found bool
		if err := rows.Scan(&next.Day, &next.Place, &next.EntryID, &next.Prev, &next.Hash, &found, &e.ID, &e.At,
			&e.ClientID, &e.AgentID, &e.Type, &e.Outcome,
			&e.Actor, &e.ActorKind, &e.ActorID, &e.ActorRole, &e.TokenID, &e.Address, &e.RequestID,
			&e.Message, &e.Details); err != nil {
			return sealed, waiting, pg.Translate(err)
		}
		if found {
			next.Entry = &e
		}
		if err := chain.Next(next); err != nil {
			return sealed, waiting, err
		}
		sealed++
	}
	return sealed, waiting, pg.Translate(rows.Err())
}

// Expire deletes what is older than trail.RetainFor: whole days of seals, and their entries.
func (s *Trail) Expire(ctx context.Context) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			WITH gone AS (DELETE FROM trail_seals WHERE day < (now() AT TIME ZONE 'UTC')::date - 401 RETURNING entry_id)
			DELETE FROM trail WHERE id IN (SELECT entry_id FROM gone)`)
		return err
	})
}
