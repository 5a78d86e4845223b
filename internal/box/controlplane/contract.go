package controlplane

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Registration is an agent's report of itself at its start.
type Registration struct {
	LogicalID    string  `json:"logical_agent_id"`
	Hostname     string  `json:"hostname"`
	InstanceID   string  `json:"instance_id"`
	InstanceType string  `json:"instance_type"`
	Region       string  `json:"region"`
	AZ           string  `json:"az"`
	ImageID      string  `json:"ami_id"`
	Mode         string  `json:"mode"`
	Version      string  `json:"agent_version"`
	PrivateIP    string  `json:"private_ip"`
	PublicIP     *string `json:"public_ip"`
}

// Registered is the answer.
type Registered struct {
	AgentID  string `json:"agent_id"`
	ClientID string `json:"client_id"`
}

// Register reports that the agent has started on an instance.
func (c *Client) Register(ctx context.Context, r Registration) (Registered, error) {
	var out Registered
	return out, c.Deliver(ctx, http.MethodPost, "/api/agents/register", r, &out)
}

// Heartbeat is a sign of life.
type Heartbeat struct {
	Status       string   `json:"status"`
	Monitored    []string `json:"monitored_instances"`
	InstanceID   string   `json:"instance_id"`
	InstanceType string   `json:"instance_type"`
	AZ           string   `json:"az"`
	Mode         string   `json:"mode"`
	Version      string   `json:"agent_version"`
}

// Heartbeat sends a sign of life. The answer has a new token when the one in use is due
// for renewal, else an empty one. It goes to another address when one does not answer: two
// heartbeats say the same. Fails with 404 when the agent is not known.
func (c *Client) Heartbeat(ctx context.Context, agentID string, h Heartbeat) (Token, error) {
	var out Token
	return out, c.Deliver(ctx, http.MethodPost, path(agentID, "/heartbeat"), h, &out)
}

// Outcome is the answer to a termination notice: once it is here, the notice is durable
// at the control plane.
type Outcome struct {
	Success       bool   `json:"success"`
	Action        string `json:"action"`
	NewInstanceID string `json:"new_instance_id"`
	OperationID   string `json:"operation_id"`
}

// What a notice's answer can say.
const (
	ReplicaPromoted    = "replica_promoted"
	FailoverInProgress = "failover_in_progress"
	AlreadyReplaced    = "already_replaced"
	NotPrimary         = "not_primary"
)

type notice struct {
	InstanceID string     `json:"instance_id"`
	Deadline   *time.Time `json:"termination_time,omitempty"`
	DetectedAt time.Time  `json:"detected_at"`
	Action     string     `json:"action,omitempty"`
}

// Terminating reports a termination notice. It may be repeated: the answer to a known
// notice is its outcome. A zero deadline and an empty action are not sent.
func (c *Client) Terminating(
	ctx context.Context,
	agentID, instanceID string,
	deadline, detected time.Time,
	action string,
) (Outcome, error) {
	var out Outcome
	in := notice{InstanceID: instanceID, DetectedAt: detected.UTC(), Action: action}
	if !deadline.IsZero() {
		at := deadline.UTC()
		in.Deadline = &at
	}
	return out, c.Deliver(withTrace(ctx), http.MethodPost, path(agentID, "/termination-imminent"), in, &out)
}

// Rebalancing reports a rebalance recommendation. It may be repeated.
func (c *Client) Rebalancing(ctx context.Context, agentID, instanceID string, detected time.Time) error {
	in := notice{InstanceID: instanceID, DetectedAt: detected.UTC()}
	return c.Deliver(withTrace(ctx), http.MethodPost, path(agentID, "/rebalance-recommendation"), in, nil)
}

// HookResults are the runs of hooks for one notice.
type HookResults struct {
	InstanceID  string       `json:"instance_id"`
	NoticeID    string       `json:"notice_id"`
	Kind        string       `json:"kind"`
	OperationID string       `json:"operation_id,omitempty"`
	Hooks       []HookResult `json:"hooks"`
}

// HookResult is how one run of a hook ended.
type HookResult struct {
	Name    string  `json:"name"`
	Attempt int     `json:"attempt"`
	Exit    int     `json:"exit"`
	Seconds float64 `json:"seconds"`           // how long it ran
	Ago     float64 `json:"ended_seconds_ago"` // before this report
	Output  string  `json:"output,omitempty"`  // the end of what it printed
}

// ReportHooks reports how hooks ended. It may be repeated.
func (c *Client) ReportHooks(ctx context.Context, agentID string, in HookResults) error {
	return c.Deliver(ctx, http.MethodPost, path(agentID, "/hook-results"), in, nil)
}

// Owner is who a token belongs to.
type Owner struct {
	Valid    bool   `json:"valid"`
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
}

// Health asks whether the control plane is there. It needs no token.
func (c *Client) Health(ctx context.Context) error {
	return c.Call(ctx, http.MethodGet, "/health", nil, nil)
}

// Validate asks whose token this is.
func (c *Client) Validate(ctx context.Context) (Owner, error) {
	var out Owner
	return out, c.Call(ctx, http.MethodGet, "/api/client/validate", nil, &out)
}

func path(agentID, rest string) string { return "/api/agents/" + url.PathEscape(agentID) + rest }
