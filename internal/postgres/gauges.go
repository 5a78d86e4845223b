package postgres

import "context"

// Gauges is what an operator would page on, as it stands now.
type Gauges struct {
	UndeliveredNotices  int64 // told, and taken by no Guardian yet
	UndecidedNotices    int64 // terminations of a present primary without an heir
	LostNotices         int64 // deadlines that passed without an heir, in the last hour
	AgentsWithoutOne    int64 // enabled agents that have no primary
	AgentsOnline        int64
	OpenReplicas        int64
	LateRetirements     int64 // instances of ours that have been ending for a quarter of an hour
	OrphansFound        int64 // in the last day
	FailedJobs          int64 // runs in the last hour
	OldestUndeliveredMs int64
}

// ReadGauges reads all of them in one statement. It is for scrapes, so it costs
// index look-ups and counts of small partial sets only.
func (db *DB) ReadGauges(ctx context.Context) (Gauges, error) {
	var g Gauges
	err := db.Pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM notices WHERE delivered_at IS NULL),
		(SELECT count(*) FROM notices n JOIN instances i ON i.id = n.instance_id AND i.agent_id = n.agent_id AND i.role = 'primary'
			WHERE n.kind = 'termination-notice' AND n.result IN ('', 'lost') AND n.received_at > now() - interval '1 day'),
		(SELECT count(*) FROM notices WHERE result = 'lost' AND received_at > now() - interval '1 hour'),
		(SELECT count(*) FROM agents a WHERE a.enabled AND a.status <> 'deleted'
			AND NOT EXISTS (SELECT FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary')),
		(SELECT count(*) FROM agents WHERE status = 'online'),
		(SELECT count(*) FROM replicas WHERE state IN ('requested', 'launching', 'running', 'ready')),
		(SELECT count(*) FROM instances WHERE role = 'retiring' AND terminate_by = 'us' AND retiring_since < now() - interval '15 minutes'),
		(SELECT count(*) FROM orphan_sightings WHERE terminated_at > now() - interval '1 day'),
		(SELECT count(*) FROM job_runs WHERE state = 'failed' AND started_at > now() - interval '1 hour'),
		(SELECT coalesce(max(extract(epoch FROM clock_timestamp() - received_at) * 1000)::bigint, 0) FROM notices WHERE delivered_at IS NULL)`).
		Scan(&g.UndeliveredNotices, &g.UndecidedNotices, &g.LostNotices, &g.AgentsWithoutOne, &g.AgentsOnline, &g.OpenReplicas,
			&g.LateRetirements, &g.OrphansFound, &g.FailedJobs, &g.OldestUndeliveredMs)
	return g, translate(err)
}
