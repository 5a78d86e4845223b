package postgres

import (
	"context"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// RecordPool records how a launch in a pool went. A pool rests for minutes when it has no
// capacity or EC2 ended its instance before it ran. The rest gets longer with each failure
// in a row, and an instance that runs ends it. A quota or a missing permission is the
// account's failure and not the pool's. A pool that rests already does not rest longer, so
// an outcome that is recorded twice counts once.
func (s *Launches) RecordPool(ctx context.Context, in activities.PoolOutcome) error {
	var err error
	switch in.Code {
	case "":
		_, err = s.DB.Pool.Exec(
			ctx,
			`
			INSERT INTO pool_health (client_id, pool_id, mode, last_success_at)
			SELECT client_id, $2, $3, now()
			FROM agents
			WHERE id = $1
			ON CONFLICT (client_id, pool_id, mode)
			DO UPDATE SET failures = 0, last_code = '', retry_after = NULL, last_success_at = now()`,
			in.AgentID,
			in.Where.PoolID,
			launchMode(in.Where.Mode),
		)
	case string(replica.NoCapacity), string(replica.InstanceGone):
		_, err = s.DB.Pool.Exec(ctx,
			`INSERT INTO pool_health AS h (client_id, pool_id, mode, failures, last_code, last_failed_at, retry_after)
			SELECT client_id, $2, $3, 1, $4, now(), now() + `+retryAfterSQL("1")+` FROM agents WHERE id = $1
			ON CONFLICT (client_id, pool_id, mode)
			DO UPDATE SET last_code = excluded.last_code, last_failed_at = excluded.last_failed_at,
				failures = h.failures + 1, retry_after = now() + `+retryAfterSQL("h.failures + 1")+`
			WHERE h.retry_after IS NULL OR h.retry_after <= now()`, in.AgentID, in.Where.PoolID,
			launchMode(in.Where.Mode), in.Code)
	}
	return pg.Translate(err)
}

// retryAfterSQL is how long a pool rests after a number of failures in a row: 3, 6, 12 …
// minutes, an hour at most. The outages of traces lasted 23 to 42 minutes.
func retryAfterSQL(failures string) string {
	return `least(interval '3 minutes' * 2 ^ least(` + failures + ` - 1, 10), interval '1 hour')`
}
