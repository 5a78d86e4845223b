package views

import (
	"context"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// DescriptionView is what a replacement of an agent's instance is launched with, as EC2
// described the instance last.
type DescriptionView struct {
	ClientID        string
	InstanceID      *string // that was read; null: none was yet
	ReadAt          *time.Time
	ChangedAt       *time.Time
	Revision        *int
	Image           string
	Product         string
	KeyName         string
	InstanceProfile string
	UserData        string // copied, hidden or none
	SecurityGroups  []string
	Zones           []string
	Volumes         []VolumeView
	Tags            map[string]string
	Lacks           []string // what a replacement cannot have
	Unread          []string // what could not be read
}

// VolumeView is a volume that a replacement has too. It begins as its image or its snapshot.
type VolumeView struct {
	Device     string `json:"device"`
	GiB        int    `json:"gib"`
	Type       string `json:"type"`
	Encrypted  bool   `json:"encrypted"`
	Keep       bool   `json:"keep"` // outlives its instance
	SnapshotID string `json:"snapshot_id"`
}

// LaunchDescription reads what an agent's replacements are launched with. Fails with
// agent.not_found.
func (v *Views) LaunchDescription(ctx context.Context, clientID, agentID string) (*DescriptionView, error) {
	found, err := pg.QueryRow[DescriptionView](ctx, v.DB, `
SELECT a.client_id, t.instance_id, t.read_at, t.changed_at, t.revision,
    coalesce(t.template->>'image_id', '') AS image,
    coalesce(t.template->>'product', '') AS product,
    coalesce(t.template->>'key_name', '') AS key_name,
    coalesce(t.template->>'instance_profile_arn', '') AS instance_profile,
    CASE WHEN t.template->>'user_data_hidden' = 'true' THEN 'hidden'
         WHEN coalesce(t.template->>'user_data', '') <> '' THEN 'copied'
         ELSE 'none' END AS user_data,
    ARRAY(SELECT jsonb_array_elements_text(coalesce(t.template->'security_group_ids', '[]'))) AS security_groups,
    ARRAY(SELECT k FROM jsonb_object_keys(coalesce(t.template->'subnets', '{}')) k ORDER BY k) AS zones,
    coalesce(t.template->'volumes', '[]') AS volumes,
    coalesce(t.template->'tags', '{}') AS tags,
    ARRAY(SELECT jsonb_array_elements_text(coalesce(t.template->'not_copied', '[]'))) AS lacks,
    ARRAY(SELECT jsonb_array_elements_text(coalesce(t.template->'unread', '[]'))) AS unread
FROM agents a
LEFT JOIN launch_templates t ON t.agent_id = a.id
WHERE a.id = $2
  AND ($1 = '' OR a.client_id = $1)`, clientID, agentID)
	if pg.IsNoRows(err) {
		return nil, agent.NotFound.New("Agent not found")
	}
	return found, err
}

// TagKeyView is a tag that instances of agents have, and of how many agents.
type TagKeyView struct {
	Tag    string
	Agents int
}

// TagKeys lists the tags of a client's agents, or with an empty clientID of all, the most
// common first.
func (v *Views) TagKeys(ctx context.Context, clientID string) ([]TagKeyView, error) {
	return pg.QueryRows[TagKeyView](ctx, v.DB, `
SELECT k AS tag, count(*) AS agents
FROM launch_templates t
JOIN agents a ON a.id = t.agent_id
CROSS JOIN LATERAL jsonb_object_keys(coalesce(t.template->'tags', '{}')) k
WHERE ($1 = '' OR a.client_id = $1)
  AND a.status <> 'deleted'
GROUP BY k
ORDER BY agents DESC, k
LIMIT 100`, clientID)
}

// TagMonthView is what the agents with one value of a tag cost and saved in a month.
type TagMonthView struct {
	Month       string  // YYYY-MM
	Value       *string // null: agents without the tag, and agents that are gone
	Currency    string
	Agents      int
	Baseline    float64
	Actual      float64
	Beside      float64 // of Actual, what was not the primaries'
	Savings     float64
	Provisional bool
}

// SavingsByTag sums months by the value that a tag of the agents has now, newest first.
func (v *Views) SavingsByTag(ctx context.Context, clientID, tag string, months int) ([]TagMonthView, error) {
	return pg.QueryRows[TagMonthView](ctx, v.DB, `
SELECT to_char(l.month, 'YYYY-MM') AS month, t.template->'tags'->>$2 AS value, l.currency,
    count(DISTINCT l.agent_id) AS agents,
    sum(l.baseline)::float8 AS baseline,
    sum(l.primary_cost + l.beside_cost + l.volume_cost)::float8 AS actual,
    sum(l.beside_cost + l.volume_cost)::float8 AS beside,
    sum(l.baseline - l.primary_cost - l.beside_cost - l.volume_cost)::float8 AS savings,
    bool_or(c.provisional) AS provisional
FROM savings_lines l
JOIN client_savings c ON c.client_id = l.client_id AND c.month = l.month
LEFT JOIN launch_templates t ON t.agent_id = l.agent_id
WHERE ($1 = '' OR l.client_id = $1)
  AND l.month > date_trunc('month', now() AT TIME ZONE 'UTC') - $3 * interval '1 month'
GROUP BY 1, 2, 3
ORDER BY month DESC, savings DESC, value
LIMIT 5000`, clientID, tag, months)
}

// QueueView is what a worker last saw of a queue of AWS's events.
type QueueView struct {
	Queue      string
	Worker     string
	ReceivedAt *time.Time // when SQS answered last
	WaitedMs   int64      // of the last minute's messages, the longest time in the queue
	Error      string
	UpdatedAt  time.Time
}

// EventQueues lists the queues that workers looked at in the last ten minutes.
func (v *Views) EventQueues(ctx context.Context) ([]QueueView, error) {
	return pg.QueryRows[QueueView](ctx, v.DB, `
SELECT queue, worker, received_at, waited_ms, error, updated_at
FROM event_queues
WHERE updated_at > clock_timestamp() - interval '10 minutes'
ORDER BY queue, worker`)
}
