package metrics

import (
	"context"

	"spotkeeper/internal/postgres/pg"
)

// Gauges is the figures of this moment that an operator would alert on.
type Gauges struct {
	UndeliveredNotices  int64 // stored, but judged by no Guardian yet; a failover at intake counts as judged
	UndecidedNotices    int64 // terminations of a present primary without a successor
	LostNotices         int64 // deadlines that passed without a successor, in the last hour or of an agent that still does not live
	AgentsWithoutOne    int64 // enabled agents that have no primary, or one that is lost
	AgentsOnline        int64
	AgentsOffline       int64 // enabled agents that are silent
	OpenReplicas        int64
	LateRetirements     int64 // instances of ours that have been ending for a quarter of an hour
	OrphansFound        int64 // in the last day
	FailedJobs          int64 // runs in the last hour
	OldestUndeliveredMs int64
	UnprovenInstances   int64 // that play a part, and are not looked after
}

// ReadGauges reads all of them in one statement. It is for scrapes, so it costs
// index look-ups and counts of small partial sets only.
//
// Facts about a present primary do not expire: a loss counts until the agent runs on
// another instance, or its primary sends a heartbeat again.
func ReadGauges(ctx context.Context, db *pg.DB) (Gauges, error) {
	var g Gauges
	err := db.Pool.QueryRow(ctx, `
		WITH without_heir AS (
			SELECT n.agent_id, n.instance_id, n.result = 'lost' AND a.enabled AS lost
			FROM notices n
			JOIN instances i ON i.id = n.instance_id AND i.agent_id = n.agent_id AND i.role = 'primary'
			JOIN agents a ON a.id = n.agent_id AND a.status <> 'deleted'
			WHERE n.kind = 'termination-notice' AND n.result IN ('', 'lost')
				AND NOT (n.result = 'lost'
				AND a.status = 'online'
				AND coalesce(i.last_seen_at > coalesce(n.decided_at, n.deadline), false)))
		SELECT
		(SELECT count(*) FROM notices WHERE delivered_at IS NULL),
		(SELECT count(*) FROM without_heir),
		(SELECT count(*) FROM notices n WHERE n.kind = 'termination-notice' AND n.result = 'lost'
			AND (coalesce(n.decided_at, n.deadline) > now() - interval '1 hour'
				OR EXISTS (SELECT
					FROM without_heir w
					WHERE w.agent_id = n.agent_id AND w.instance_id = n.instance_id AND w.lost))),
		(SELECT count(*) FROM agents a WHERE a.enabled AND a.status <> 'deleted'
			AND (NOT EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary')
				OR EXISTS (SELECT FROM without_heir w WHERE w.agent_id = a.id AND w.lost))),
		(SELECT count(*) FROM agents WHERE status = 'online'),
		(SELECT count(*) FROM agents WHERE status = 'offline' AND enabled),
		(SELECT count(*) FROM replicas WHERE state IN ('requested', 'launching', 'running', 'ready')),
		(SELECT count(*)
			FROM instances
			WHERE role = 'retiring' AND terminate_by = 'us' AND retiring_since < now() - interval '15 minutes'),
		(SELECT count(*) FROM orphan_sightings WHERE terminated_at > now() - interval '1 day'),
		(SELECT count(*) FROM job_runs WHERE state = 'failed' AND started_at > now() - interval '1 hour'),
		(SELECT coalesce(max(extract(epoch FROM clock_timestamp() - received_at) * 1000)::bigint, 0)
			FROM notices
			WHERE delivered_at IS NULL),
		(SELECT count(*) FROM instances WHERE proof = 'unproven' AND role IN ('primary', 'replica'))`).
		Scan(&g.UndeliveredNotices, &g.UndecidedNotices, &g.LostNotices, &g.AgentsWithoutOne, &g.AgentsOnline,
			&g.AgentsOffline,
			&g.OpenReplicas, &g.LateRetirements, &g.OrphansFound, &g.FailedJobs, &g.OldestUndeliveredMs,
			&g.UnprovenInstances)
	return g, pg.Translate(err)
}
