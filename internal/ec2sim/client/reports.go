package client

import "time"

// InstanceInfo is everything known about one instance.
type InstanceInfo struct {
	InstanceID       string            `json:"instance_id"`
	Account          string            `json:"account"`
	Region           string            `json:"region"`
	Zone             string            `json:"zone"`
	Type             string            `json:"type"`
	Pool             string            `json:"pool"`
	Market           string            `json:"market"`
	State            string            `json:"state"`
	StateReason      string            `json:"state_reason,omitempty"`
	StatusOK         bool              `json:"status_ok"`
	ImageID          string            `json:"image_id"`
	ClientToken      string            `json:"client_token,omitempty"`
	PrivateIP        string            `json:"private_ip"`
	PublicIP         string            `json:"public_ip,omitempty"`
	Tags             map[string]string `json:"tags"`
	LaunchTime       time.Time         `json:"launch_time"`
	RunningTime      time.Time         `json:"running_time"`
	RebalanceTime    time.Time         `json:"rebalance_time,omitzero"`
	NoticeTime       time.Time         `json:"notice_time,omitzero"`
	InterruptionTime time.Time         `json:"interruption_time,omitzero"`
	ShutdownTime     time.Time         `json:"shutdown_time,omitzero"`
	TerminatedTime   time.Time         `json:"terminated_time,omitzero"`
}

// PoolInfo is a pool that has a limit, an instance or a fixed price.
type PoolInfo struct {
	Pool          string  `json:"pool"`
	SpotPrice     float64 `json:"spot_price"`
	OnDemandPrice float64 `json:"on_demand_price"`
	// SpotFree and OnDemandFree are how many more instances fit; -1 is without limit.
	SpotFree     int `json:"spot_free"`
	OnDemandFree int `json:"on_demand_free"`
	SpotLive     int `json:"spot_live"`
	OnDemandLive int `json:"on_demand_live"`
}

// State is the whole simulated cloud.
type State struct {
	Clock     ClockState     `json:"clock"`
	Seed      int64          `json:"seed"`
	Delays    Delays         `json:"delays"`
	Instances []InstanceInfo `json:"instances"`
	Pools     []PoolInfo     `json:"pools"`
	Faults    []Fault        `json:"faults"`
	Throttles []Throttle     `json:"throttles"`
	Quotas    []Quota        `json:"quotas"`
	Roles     []string       `json:"roles"`
}

// Counts counts requests since the start or the last reset.
type Counts struct {
	// Calls counts every call by action, Errors every refusal by code.
	Calls  map[string]int64 `json:"calls"`
	Errors map[string]int64 `json:"errors"`
	// Dropped is how many calls were executed and lost their answer.
	Dropped int64 `json:"dropped"`
	// Launched, Terminated and Interrupted count instances; Live are pending or running.
	Launched    int64 `json:"launched"`
	Terminated  int64 `json:"terminated"`
	Interrupted int64 `json:"interrupted"`
	Live        int64 `json:"live"`
	// Tokens is the number of distinct client tokens that launched, per account.
	Tokens int64 `json:"tokens"`
}

// Metadata is the content of an instance's metadata service.
type Metadata struct {
	InstanceID       string `json:"instance_id"`
	InstanceType     string `json:"instance_type"`
	AvailabilityZone string `json:"availability_zone"`
	Region           string `json:"region"`
	Account          string `json:"account"`
	ImageID          string `json:"ami_id"`
	LifeCycle        string `json:"instance_life_cycle"`
	LocalIPv4        string `json:"local_ipv4"`
	PublicIPv4       string `json:"public_ipv4,omitempty"`
	State            string `json:"state"`
	Profile          string `json:"iam_instance_profile,omitempty"` // its ARN

	Started time.Time `json:"started"` // by the simulator's clock
	// Spot and Rebalance are nil until the instance has a notice or a recommendation.
	Spot      *SpotAction     `json:"spot_instance_action,omitempty"`
	Rebalance *RebalanceEvent `json:"rebalance_recommendation,omitempty"`
}

// IdentityCertificate signs the identity documents of a simulator's instances.
type IdentityCertificate struct {
	PEM string `json:"pem"`
}

// SpotAction is meta-data/spot/instance-action.
type SpotAction struct {
	Action string    `json:"action"`
	Time   time.Time `json:"time"`
}

// RebalanceEvent is meta-data/events/recommendations/rebalance.
type RebalanceEvent struct {
	NoticeTime time.Time `json:"noticeTime"`
}
