package client

// Policy is a service control policy of the organization: what it matches is denied with
// UnauthorizedOperation and an encoded message, whatever the caller's own role permits.
// Patterns are those of path.Match; an empty one admits everything.
type Policy struct {
	Account string `json:"account"`
	// Action is a pattern for the API action; empty means RunInstances.
	Action string `json:"action,omitempty"`
	// InstanceType, Zone and Market select launches.
	InstanceType string `json:"instance_type,omitempty"`
	Zone         string `json:"zone,omitempty"`
	Market       string `json:"market,omitempty"`
	Region       string `json:"region,omitempty"`
	// Gone removes all policies of the account.
	Gone bool `json:"gone,omitempty"`
}

// SpotRole is the service-linked role AWSServiceRoleForEC2Spot of an account, without which no
// spot instance is launched. Accounts have it unless it is said to be missing.
type SpotRole struct {
	Account string `json:"account"`
	Missing bool   `json:"missing"`
	// Creatable says that callers may create it: then their first spot launch does.
	Creatable bool `json:"creatable,omitempty"`
}

// Place is a region that an account has not enabled, or a zone that is closed to it.
type Place struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Open    bool   `json:"open,omitempty"`
}

// Shown is a state that Describe calls show of an instance for a while, whatever it does.
type Shown struct {
	InstanceID string  `json:"instance_id"`
	State      string  `json:"state"`
	ForSeconds float64 `json:"for_seconds"`
}
