package client

import "time"

// Markets an instance is bought on and a pool is limited in.
const (
	Spot     = "spot"
	OnDemand = "ondemand"
)

// Kinds of interruption signal, in the order AWS sends them.
const (
	Rebalance = "rebalance" // early and uncertain: nothing need follow
	Notice    = "notice"    // final: termination follows after Delays.Notice
	Terminate = "terminate" // the end itself, with or without a notice before it
	Retire    = "retire"    // AWS retires the host and stops the instance, of either market
)

// What a Fault does to a call.
const (
	FaultError     = "error"     // answers the code; nothing is executed
	FaultLost      = "lost"      // executes, then drops the connection without an answer
	FaultAfter     = "after"     // executes, then answers the code
	FaultLatency   = "latency"   // executes and answers, later
	FaultStillborn = "stillborn" // RunInstances answers, and the instance ends instead of running; the code is its state reason
	FaultHidden    = "hidden"    // RunInstances answers, and the instance is NotFound for HiddenSeconds
)

// Fault makes the next calls go wrong. Empty selectors match everything.
type Fault struct {
	// Action is the API action, as RunInstances.
	Action string `json:"action,omitempty"`
	// Pool is a pattern (path.Match) for "<type>.<zone>": "m5.large.us-east-1a", "c5.*".
	Pool string `json:"pool,omitempty"`
	// Market is spot or ondemand; it selects launches only.
	Market string `json:"market,omitempty"`
	// Account is the twelve-digit account of the caller.
	Account string `json:"account,omitempty"`
	// Mode is one of the Fault constants; empty means FaultError, or FaultLatency without a Code.
	Mode string `json:"mode,omitempty"`
	// Code is the API error code.
	Code string `json:"code,omitempty"`
	// Message replaces the usual sentence.
	Message string `json:"message,omitempty"`
	// Status replaces the HTTP status that belongs to the code.
	Status int `json:"status,omitempty"`
	// LatencySeconds delays the call, in real time.
	LatencySeconds float64 `json:"latency_seconds,omitempty"`
	// HiddenSeconds is how long FaultHidden hides an instance, by the virtual clock.
	HiddenSeconds float64 `json:"hidden_seconds,omitempty"`
	// Skip lets that many matching calls pass first.
	Skip int `json:"skip,omitempty"`
	// Times is how many calls are hit: 0 means one, negative means until reset.
	Times int `json:"times,omitempty"`
}

// Capacity limits how many of our instances a pool holds at once.
type Capacity struct {
	// Pool is an exact "<type>.<zone>", or a pattern that is applied to every known pool.
	Pool string `json:"pool"`
	// Market is spot or ondemand; empty sets both.
	Market string `json:"market,omitempty"`
	// Limit is the number of pending and running instances; negative lifts the limit.
	// Instances above a new limit stay: a pool out of capacity still runs what it runs.
	Limit int `json:"limit"`
	// Reclaim sends a termination notice to the newest spot instances above the limit.
	Reclaim bool `json:"reclaim,omitempty"`
}

// Quota limits an account in a region. Nil fields stay as they are, negative ones lift the limit.
type Quota struct {
	// Account and Region select; empty means the simulator's own.
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
	// SpotInstances breaks with MaxSpotInstanceCountExceeded.
	SpotInstances *int `json:"spot_instances,omitempty"`
	// SpotVCPUs counts spot instances and breaks with MaxSpotInstanceCountExceeded.
	SpotVCPUs *int `json:"spot_vcpus,omitempty"`
	// VCPUs counts on-demand instances and breaks with VcpuLimitExceeded.
	VCPUs *int `json:"vcpus,omitempty"`
	// Instances counts everything and breaks with InstanceLimitExceeded.
	Instances *int `json:"instances,omitempty"`
	// Addresses breaks with AddressLimitExceeded.
	Addresses *int `json:"addresses,omitempty"`
}

// Throttle is a token bucket per account, region and action. Calls beyond it are answered RequestLimitExceeded.
type Throttle struct {
	// Action is the API action, or "*" for one bucket over all actions that have none of their own.
	Action string `json:"action"`
	// Burst is the size of the bucket; negative removes the throttle.
	Burst float64 `json:"burst"`
	// Refill is tokens per second of the virtual clock.
	Refill float64 `json:"refill"`
}

// Delays are seconds of the virtual clock, except API. All zero is a cloud without delay.
type Delays struct {
	// Pending is from RunInstances to running.
	Pending float64 `json:"pending_seconds"`
	// Checks is from running to status checks ok.
	Checks float64 `json:"checks_seconds"`
	// ShuttingDown is from terminate to terminated; Stopping from stop to stopped.
	ShuttingDown float64 `json:"shutting_down_seconds"`
	Stopping     float64 `json:"stopping_seconds"`
	// Visibility is how long a new instance is NotFound to every call but the one that made it.
	Visibility float64 `json:"visibility_seconds"`
	// Lag is how old the states are that the Describe calls show.
	Lag float64 `json:"lag_seconds"`
	// Image is from CreateImage to available; snapshots complete with it.
	Image float64 `json:"image_seconds"`
	// Notice is from termination notice to termination; zero means 120.
	Notice float64 `json:"notice_seconds"`
	// API is added to every call, in real time.
	API float64 `json:"api_seconds"`
}

// AWSDelays are what was measured at AWS: 16 s to running, 26 s to reachable, two minutes of notice.
func AWSDelays() Delays {
	return Delays{Pending: 16, Checks: 10, ShuttingDown: 30, Stopping: 30, Visibility: 0.5, Image: 180, Notice: 120}
}

// ClockChange moves the virtual clock. What is nil stays.
type ClockChange struct {
	// AdvanceSeconds moves it forward at once.
	AdvanceSeconds *float64 `json:"advance_seconds,omitempty"`
	// Now sets it. Setting it back is refused: no cloud does that.
	Now *time.Time `json:"now,omitempty"`
	// Scale is virtual seconds per real second; 0 freezes the clock, 1 is real time.
	Scale *float64 `json:"scale,omitempty"`
}

// ClockState is where the virtual clock stands.
type ClockState struct {
	Now   time.Time `json:"now"`
	Scale float64   `json:"scale"`
}

// Interruption is a signal to one instance, or to every live spot instance of a pool.
type Interruption struct {
	InstanceID string `json:"instance_id,omitempty"`
	Pool       string `json:"pool,omitempty"`
	// Kind is Rebalance, Notice or Terminate.
	Kind string `json:"kind"`
	// InSeconds delays the signal, on the virtual clock.
	InSeconds float64 `json:"in_seconds,omitempty"`
	// NoticeSeconds is the time between the notice and the end; it overrides Delays.Notice.
	NoticeSeconds float64 `json:"notice_seconds,omitempty"`
}

// Interrupted lists the instances that a signal was scheduled for.
type Interrupted struct {
	InstanceIDs []string `json:"instance_ids"`
}

// PriceChange fixes the spot price of a pool from now on. Zero returns to the market.
type PriceChange struct {
	Pool  string  `json:"pool"`
	Price float64 `json:"price"`
}

// Impairment makes the status checks of an instance fail, or pass again.
type Impairment struct {
	InstanceID string `json:"instance_id"`
	Impaired   bool   `json:"impaired"`
}

// Role is an IAM role that STS lets callers assume. A role that is not registered is AccessDenied.
type Role struct {
	// ARN as arn:aws:iam::<account>:role/<name>; its account is whose instances the session sees.
	ARN string `json:"arn"`
	// ExternalID must be sent as it is; empty accepts any caller, as a careless trust policy does.
	ExternalID string `json:"external_id,omitempty"`
	// Gone removes the role.
	Gone bool `json:"gone,omitempty"`
}

// Revocation ends the sessions of an account that were assumed so far, as the console's
// "revoke active sessions" does. Their calls are refused with Code, UnauthorizedOperation
// when it is empty.
type Revocation struct {
	Account string `json:"account"`
	Code    string `json:"code,omitempty"`
	UpTo    int    `json:"up_to,omitempty"` // set by the simulator
}

// States of a subnet that is not as it should be.
const (
	SubnetFull    = "full"
	SubnetDeleted = "deleted"
	SubnetIPv6    = "ipv6" // it has no IPv4 addresses, and neither have its instances
)

// SubnetChange changes a subnet, by its id; an empty state is a subnet that is well. Second
// gives the account a second subnet in a zone.
type SubnetChange struct {
	SubnetID string `json:"subnet_id,omitempty"`
	State    string `json:"state,omitempty"`
	Account  string `json:"account,omitempty"`
	Second   string `json:"second,omitempty"` // a zone
}

// KeyChange sets the state of a KMS key: Enabled, Disabled or PendingDeletion.
type KeyChange struct {
	KeyID string `json:"key_id"`
	State string `json:"state"`
}

// Hazard sets the chance that a new spot instance is interrupted by itself.
type Hazard struct {
	// Factor scales the measured hazard (0.63 per hour for a new instance, 0.20 after two hours). 0 turns it off.
	Factor float64 `json:"factor"`
}

// Announcements change what the simulator announces of what happens to its instances.
type Announcements struct {
	// Off says nothing is announced any more. What happens meanwhile is never announced.
	Off bool `json:"off,omitempty"`
}
