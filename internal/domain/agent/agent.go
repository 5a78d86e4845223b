// Package agent defines the logical unit that must stay up, and the words for
// how it is bought, who launches for it and when it keeps a replica. It is pure.
package agent

import (
	"regexp"
	"strings"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	NotFound              = fault.Define("agent.not_found", fault.NotFound)
	Disabled              = fault.Define("agent.disabled", fault.Invalid)
	AutoOff               = fault.Define("agent.auto_switch_off", fault.Forbidden)
	InstanceOfOtherTenant = fault.Define("agent.instance_of_another_tenant", fault.NotFound)
	ModesExclude          = fault.Define("agent.modes_exclude_each_other", fault.Invalid)
	BadPool               = fault.Define("agent.bad_pool", fault.Invalid)
)

// Mode says how an instance is bought.
type Mode string

// Modes of buying. Unknown is what an old agent reports before EC2 was asked.
const (
	Spot        Mode = "spot"
	OnDemand    Mode = "ondemand"
	ModeUnknown Mode = "unknown"
)

// ParseMode reads how an instance is bought from a word that an agent uses for it.
// Upper case, hyphens, underscores and spaces change nothing: "On-Demand" and
// "on_demand" are on-demand. Every other word is ModeUnknown.
func ParseMode(word string) Mode {
	plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word))
	switch m := Mode(plain); m {
	case Spot, OnDemand:
		return m
	default:
		return ModeUnknown
	}
}

// Status is an agent's reported state, or offline after its silence.
type Status string

// Statuses. Deleted is final for the agent's routes.
const (
	StatusOnline    Status = "online"
	StatusOffline   Status = "offline"
	StatusDisabled  Status = "disabled"
	StatusSwitching Status = "switching"
	StatusError     Status = "error"
	StatusDeleted   Status = "deleted"
)

// Launcher says who calls RunInstances for an agent.
type Launcher string

// Launchers.
const (
	ControlPlane Launcher = "control-plane" // our activities
	ByAgent      Launcher = "agent"         // the deployed agent, at our request
)

// StandbyMode says when an agent keeps a replica. The two active ways exclude each
// other by being one value.
type StandbyMode string

// Ways of keeping.
const (
	KeepOff    StandbyMode = "off"
	KeepManual StandbyMode = "manual" // exactly one standby, always
	KeepAuto   StandbyMode = "auto"   // one in an emergency; the engine decides the rest
)

// Role is the part an instance plays for its agent.
type Role string

// Roles. An agent has exactly one primary.
const (
	Primary  Role = "primary"
	Replica  Role = "replica"
	Retiring Role = "retiring"
	Retired  Role = "retired"
)

// PoolID names the pool of an instance type in a zone.
func PoolID(instanceType, az string) string { return instanceType + "." + az }

// poolPattern admits the zones of every partition, Local Zones (us-west-2-lax-1a) and
// Wavelength Zones (us-east-1-wl1-bos-wlz-1).
var poolPattern = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9-]+\.[a-z]{2,}(-[a-z]+)+-\d+([a-z]|(-[a-z0-9]+)+)$`)

// SplitPool takes a pool's id apart. The zone is the text after the last dot.
// Fails with agent.bad_pool.
func SplitPool(id string) (instanceType, az string, err error) {
	at := strings.LastIndexByte(id, '.')
	if !poolPattern.MatchString(id) || at < 0 {
		return "", "", BadPool.New("%q is not a pool: it must be <instance type>.<zone>, like t3.medium.us-east-1a", id)
	}
	return id[:at], id[at+1:], nil
}

// regionPattern is a region's name at the beginning of a zone's: it ends with the first
// number.
var regionPattern = regexp.MustCompile(`^[a-z]+(-[a-z]+)+-\d+`)

// RegionOf derives the region of a zone from the zone's name. A region from EC2, a
// registration or a report takes precedence: see RegionIn.
func RegionOf(az string) string { return regionPattern.FindString(az) }

// RegionIn returns the region of a zone: the one that is known, when the zone can lie in
// it, else what the zone's name says.
func RegionIn(known, az string) string {
	if known != "" && strings.HasPrefix(az, known) {
		return known
	}
	return RegionOf(az)
}

// ForeignInstance is agent.instance_of_another_tenant for an instance.
func ForeignInstance(instanceID string) error {
	return InstanceOfOtherTenant.New("Instance %s is not this client's.", instanceID)
}
