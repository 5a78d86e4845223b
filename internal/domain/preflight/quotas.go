package preflight

import (
	"fmt"
	"slices"
	"strings"

	"spotkeeper/internal/domain/agent"
)

// Quota is a limit of Service Quotas for EC2 in one region of an account, in vCPUs. Its name
// says for what: "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
// "Running On-Demand G and VT instances".
type Quota struct {
	Name  string
	VCPUs float64
}

// Usage is the share of the quotas that one instance of a client takes.
type Usage struct {
	InstanceType string     `json:"instance_type"`
	Zone         string     `json:"az"`
	Mode         agent.Mode `json:"mode"`
	VCPUs        int        `json:"vcpus"`
}

// quotaFamilies are the families of instance types that have quotas of their own, by the
// beginning of the type, longest first, and the words by which quotas name them. Other
// types are of the standard families.
// Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html and
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html.
var quotaFamilies = []struct{ prefix, words string }{
	{"inf", "Inf"}, {"trn", "Trn"}, {"hpc", "HPC"}, {"dl", "DL"}, {"vt", "G and VT"}, {"g", "G and VT"}, {"p", "P"},
	{"x", "X"}, {"f", "F"}, {"u-", "High Memory"}, {"u7", "High Memory"},
}

// standardFamilies is how quotas name the others.
const standardFamilies = "Standard"

func quotaFamily(instanceType string) string {
	for _, f := range quotaFamilies {
		if strings.HasPrefix(instanceType, f.prefix) {
			return f.words
		}
	}
	return standardFamilies
}

// is says whether the quota is that of a family and a mode.
func (q Quota) is(family string, mode agent.Mode) bool {
	prefix, suffix := "All "+family+" ", "Spot Instance Requests"
	if mode == agent.OnDemand {
		prefix, suffix = "Running On-Demand "+family+" ", "instances"
	}
	return strings.HasPrefix(q.Name, prefix) && strings.HasSuffix(q.Name, suffix)
}

// JudgeQuotas holds the quotas of a region against the loss of a zone: all instances of the
// zone are replaced in others while AWS has not taken them yet, so both count. What fits
// into the spot quota is well, what fits into the on-demand quota alone is a warning, and
// what fits into neither would fail. One check per family that is in use.
func JudgeQuotas(region string, use []Usage, quotas []Quota) []Check {
	out := []Check{}
	for _, family := range families(use) {
		out = append(out, judgeFamily(region, family, use, quotas))
	}
	return out
}

func families(use []Usage) (out []string) {
	for _, u := range use {
		out = append(out, quotaFamily(u.InstanceType))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func judgeFamily(region, family string, use []Usage, quotas []Quota) Check {
	check := Check{Name: "quota of " + family + " instances in " + region, Result: OK}
	now, byZone := map[agent.Mode]int{}, map[string]int{}
	lost, zone := 0, ""
	for _, u := range use {
		if quotaFamily(u.InstanceType) != family {
			continue
		}
		mode := agent.Spot
		if u.Mode == agent.OnDemand {
			mode = agent.OnDemand
		}
		now[mode] += u.VCPUs
		byZone[u.Zone] += u.VCPUs
		if n := byZone[u.Zone]; n > lost || n == lost && u.Zone < zone {
			lost, zone = n, u.Zone
		}
	}
	spot, knowsSpot := find(quotas, family, agent.Spot)
	demand, knowsDemand := find(quotas, family, agent.OnDemand)
	if !knowsSpot || !knowsDemand {
		check.Result, check.Detail = Unknown, "Service Quotas does not name it"
		return check
	}
	need := func(mode agent.Mode) int { return now[mode] + lost }
	check.Detail = fmt.Sprintf("the loss of %s is %d vCPUs: spot would need %d of %g, on-demand %d of %g",
		zone, lost, need(agent.Spot), spot.VCPUs, need(agent.OnDemand), demand.VCPUs)
	switch {
	case float64(need(agent.Spot)) <= spot.VCPUs:
	case float64(need(agent.OnDemand)) <= demand.VCPUs:
		check.Result = Warning
		check.Repair = fmt.Sprintf("ask for at least %d in Service Quotas: EC2, %s; until then replacements are on-demand",
			need(agent.Spot), spot.Name)
	default:
		check.Result = Failed
		check.Repair = fmt.Sprintf("ask for at least %d in Service Quotas: EC2, %s, or %d of %s",
			need(agent.Spot), spot.Name, need(agent.OnDemand), demand.Name)
	}
	return check
}

func find(quotas []Quota, family string, mode agent.Mode) (Quota, bool) {
	at := slices.IndexFunc(quotas, func(q Quota) bool { return q.is(family, mode) })
	if at < 0 {
		return Quota{}, false
	}
	return quotas[at], true
}
