package agent

import (
	"regexp"
	"time"
)

// LostAfter is the silence after which a primary that was not replaced may be
// followed by an instance that was not launched for us. It is longer than the
// silence that makes an agent offline, and than any restart of an agent.
const LostAfter = 5 * time.Minute

// Registration is an agent's report of itself at its start.
type Registration struct {
	ClientID     string
	Launcher     Launcher // who launches for an agent that is new
	LogicalID    string
	Hostname     string
	InstanceID   string
	InstanceType string // "unknown" when the instance's metadata has none; likewise AZ and AMI
	Region       string
	AZ           string
	AMI          string
	Mode         Mode
	Version      string
	PrivateIP    string
	PublicIP     string
}

// Heartbeat is the report that an agent sends while it runs. Old programs leave out the
// instance; the sender can then only be guessed.
type Heartbeat struct {
	AgentID    string
	ClientID   string
	InstanceID string
	Status     Status
	Type       string
	AZ         string
	Mode       Mode
}

// InstanceRelation is the role that a reporting instance has for its agent.
type InstanceRelation string

// Relations. The first four are the instance's role.
const (
	RelationPrimary  InstanceRelation = "primary"
	RelationReplica  InstanceRelation = "replica"
	RelationRetiring InstanceRelation = "retiring"
	RelationRetired  InstanceRelation = "retired"
	RelationOutside  InstanceRelation = "outside" // not launched for us, and without a role
	RelationUnnamed  InstanceRelation = "unnamed" // an old program: it did not say
)

// regionName is what AWS calls regions,
// https://docs.aws.amazon.com/general/latest/gr/rande.html.
var regionName = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,20}){1,3}-[0-9]{1,2}$`)

// IsRegion says whether a text may be the name of an AWS region, such as us-gov-west-1.
func IsRegion(text string) bool { return regionName.MatchString(text) }

// KnownFact takes a fact that an agent could not find out for unknown.
func KnownFact(fact string) string {
	if fact == "unknown" {
		return ""
	}
	return fact
}
