package pg

import (
	"fmt"

	"spotkeeper/internal/domain/agent"
)

// PrimaryLost is about the agent a and its primary p: there is none, it has been
// silent for agent.LostAfter, or its termination notice ended without a successor. The
// deadline of a notice that no Guardian has closed counts as its end, unless the
// primary sent a report afterwards.
var PrimaryLost = fmt.Sprintf(`(p.id IS NULL
		OR greatest(p.last_seen_at, p.primary_since, p.installed_at) < clock_timestamp() - interval '%d seconds'
		OR EXISTS (SELECT
			FROM notices n
			WHERE n.agent_id = a.id AND n.instance_id = p.id AND n.kind = 'termination-notice'
			AND (n.result = 'lost'
				OR n.result = '' AND n.deadline <= clock_timestamp() AND coalesce(p.last_seen_at < n.deadline, true))))`,
	int(agent.LostAfter.Seconds()))

// SaidWithin is how often the row d was said from one time until another, both SQL. It
// is exact for a row that lies within them; of one that began before or continues after,
// it takes the times to be spread evenly from the first to the last.
func SaidWithin(from, until string) string {
	return fmt.Sprintf(`CASE
		WHEN d.created_at >= %[1]s AND coalesce(d.last_at, d.created_at) < %[2]s THEN d.repeats
		WHEN d.created_at >= %[2]s OR coalesce(d.last_at, d.created_at) < %[1]s THEN 0
		ELSE greatest(0,
		least(d.repeats,
		ceil(extract(epoch FROM %[2]s - d.created_at) * (d.repeats - 1) / extract(epoch FROM d.last_at - d.created_at)))
			- greatest(0,
			ceil(extract(epoch FROM %[1]s - d.created_at) * (d.repeats - 1) / extract(epoch FROM d.last_at - d.created_at))))::int END`, from, until)
}
