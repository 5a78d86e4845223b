package replica

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"spotkeeper/internal/domain/fault"
)

// BadRequirements means that requirements contradict each other or cannot be read.
var BadRequirements = fault.Define("replica.bad_requirements", fault.Invalid)

// TypeFacts is EC2's description of an instance type.
type TypeFacts struct {
	Name          string   `json:"name"`
	VCPUs         int      `json:"vcpus"`
	MemoryMiB     int      `json:"memory_mib"`
	Architectures []string `json:"architectures"`
	Burstable     bool     `json:"burstable"`
	Accelerators  int      `json:"accelerators"` // GPUs and their like
	LocalGB       int      `json:"local_gb"`     // of local disks
	Current       bool     `json:"current"`      // of the current generation
	BareMetal     bool     `json:"bare_metal"`
}

// Requirements say which instance types may replace an agent's. What is not given follows
// from the present type; see Resolve.
type Requirements struct {
	MinVCPUs     int      `json:"min_vcpus,omitempty"`
	MaxVCPUs     int      `json:"max_vcpus,omitempty"`
	MinMemoryMiB int      `json:"min_memory_mib,omitempty"`
	MaxMemoryMiB int      `json:"max_memory_mib,omitempty"`
	Architecture string   `json:"architecture,omitempty"` // x86_64 or arm64
	Burstable    *bool    `json:"burstable,omitempty"`
	Accelerators *int     `json:"accelerators,omitempty"`  // the least number
	LocalStorage *bool    `json:"local_storage,omitempty"` // has local disks
	Current      *bool    `json:"current_generation,omitempty"`
	Include      []string `json:"include,omitempty"` // patterns such as m5.*; none: all
	Exclude      []string `json:"exclude,omitempty"`
}

// Bounds of what can be required: above the largest type of EC2, and small enough for any
// sum.
const (
	mostVCPUs        = 10_000
	mostMemoryMiB    = 200_000_000
	mostAccelerators = 1_000
	mostPatterns     = 100 // in each list
	longestPattern   = 50  // of bytes
)

// IsZero says whether nothing is required beyond what follows from the present type.
func (r Requirements) IsZero() bool {
	return r.MinVCPUs == 0 && r.MaxVCPUs == 0 && r.MinMemoryMiB == 0 && r.MaxMemoryMiB == 0 && r.Architecture == "" &&
		r.Burstable == nil && r.Accelerators == nil && r.LocalStorage == nil && r.Current == nil &&
		len(r.Include) == 0 && len(r.Exclude) == 0
}

// Validate judges the form. Fails with replica.bad_requirements.
func (r Requirements) Validate() error {
	switch {
	case max(r.MinVCPUs, r.MaxVCPUs) > mostVCPUs:
		return BadRequirements.New("vCPUs are %d at most", mostVCPUs)
	case max(r.MinMemoryMiB, r.MaxMemoryMiB) > mostMemoryMiB:
		return BadRequirements.New("memory is %d MiB at most", mostMemoryMiB)
	case r.Accelerators != nil && (*r.Accelerators < 0 || *r.Accelerators > mostAccelerators):
		return BadRequirements.New("accelerators are a number from 0 to %d", mostAccelerators)
	case max(len(r.Include), len(r.Exclude)) > mostPatterns:
		return BadRequirements.New("include and exclude have at most %d patterns each: name families, such as m5.*",
			mostPatterns)
	case min(r.MinVCPUs, r.MaxVCPUs, r.MinMemoryMiB, r.MaxMemoryMiB) < 0:
		return BadRequirements.New("vCPUs and memory are not negative")
	case r.MaxVCPUs > 0 && r.MaxVCPUs < r.MinVCPUs:
		return BadRequirements.New("max_vcpus is below min_vcpus")
	case r.MaxMemoryMiB > 0 && r.MaxMemoryMiB < r.MinMemoryMiB:
		return BadRequirements.New("max_memory_mib is below min_memory_mib")
	case r.Architecture != "" && r.Architecture != "x86_64" && r.Architecture != "arm64":
		return BadRequirements.New("architecture must be x86_64 or arm64")
	}
	for _, p := range slices.Concat(r.Include, r.Exclude) {
		if _, err := path.Match(p, ""); err != nil || p == "" || len(p) > longestPattern || !utf8.ValidString(p) {
			return BadRequirements.New("%q is not a pattern of instance types such as m5.*",
				strings.ToValidUTF8(p[:min(len(p), longestPattern)], ""))
		}
	}
	return nil
}

// Check judges requirements against the types that EC2 offers in the region of an instance, and
// against the architecture of its image. At least one type has to meet them, be it the present
// one, and each pattern has to name one. Nothing is judged while EC2 was not asked. Fails with
// replica.bad_requirements.
func (r Requirements) Check(present, arch string, types []TypeFacts) error {
	at := slices.IndexFunc(types, func(t TypeFacts) bool { return t.Name == present })
	if at < 0 || r.IsZero() {
		return nil
	}
	if r.Architecture != "" && arch != "" && r.Architecture != arch {
		return BadRequirements.New("the image runs on %s, so no replacement can be %s: leave architecture out", arch,
			r.Architecture)
	}
	for _, p := range slices.Concat(r.Include, r.Exclude) {
		if !slices.ContainsFunc(types, func(t TypeFacts) bool { return matchesAny([]string{p}, t.Name) }) {
			return BadRequirements.New("EC2 offers no instance type %q in the region", p)
		}
	}
	need := r.Resolve(types[at], arch)
	own := types[at]
	own.BareMetal = false // it runs already
	why := need.Objection(own)
	if why == "" || slices.ContainsFunc(types, func(t TypeFacts) bool { return need.Objection(t) == "" }) {
		return nil
	}
	return BadRequirements.New("no instance type of the region meets them; of the present one, %s: %s", present, why)
}

// largestFactor is how many times the vCPUs and the memory of the present type a
// replacement has at most, if nothing else is required.
const largestFactor = 2

// Resolve fills in what is not given from the present type: at least its vCPUs and memory,
// at most twice as many, its architecture, burstable if it is, its accelerators and local
// disks, and the current generation if it is of that. arch is the image's, which decides
// before the type.
func (r Requirements) Resolve(present TypeFacts, arch string) Requirements {
	r.MinVCPUs, r.MinMemoryMiB = cmp.Or(r.MinVCPUs, present.VCPUs), cmp.Or(r.MinMemoryMiB, present.MemoryMiB)
	r.MaxVCPUs = cmp.Or(r.MaxVCPUs, largestFactor*max(present.VCPUs, r.MinVCPUs))
	r.MaxMemoryMiB = cmp.Or(r.MaxMemoryMiB, largestFactor*max(present.MemoryMiB, r.MinMemoryMiB))
	if r.Architecture = cmp.Or(r.Architecture, arch); r.Architecture == "" && len(present.Architectures) > 0 {
		r.Architecture = present.Architectures[0]
	}
	if r.Burstable == nil {
		r.Burstable = &present.Burstable
	}
	if r.Accelerators == nil {
		r.Accelerators = &present.Accelerators
	}
	if r.LocalStorage == nil && present.LocalGB > 0 {
		yes := true
		r.LocalStorage = &yes
	}
	if r.Current == nil && present.Current {
		r.Current = &present.Current
	}
	return r
}

// Objection says why a type does not meet requirements that were resolved, "" when it does.
func (r Requirements) Objection(t TypeFacts) string {
	switch {
	case matchesAny(r.Exclude, t.Name):
		return "it is excluded"
	case len(r.Include) > 0 && !matchesAny(r.Include, t.Name):
		return "it is not among those included"
	case r.Architecture != "" && !slices.Contains(t.Architectures, r.Architecture):
		return fmt.Sprintf("it is %s, and the image runs on %s", strings.Join(t.Architectures, " and "), r.Architecture)
	case t.VCPUs < r.MinVCPUs:
		return fmt.Sprintf("it has %d vCPUs, fewer than %d", t.VCPUs, r.MinVCPUs)
	case t.VCPUs > r.MaxVCPUs:
		return fmt.Sprintf("it has %d vCPUs, more than %d", t.VCPUs, r.MaxVCPUs)
	case t.MemoryMiB < r.MinMemoryMiB:
		return fmt.Sprintf("it has %d MiB of memory, less than %d", t.MemoryMiB, r.MinMemoryMiB)
	case t.MemoryMiB > r.MaxMemoryMiB:
		return fmt.Sprintf("it has %d MiB of memory, more than %d", t.MemoryMiB, r.MaxMemoryMiB)
	case r.Burstable != nil && t.Burstable != *r.Burstable:
		return map[bool]string{true: "it is burstable", false: "it is not burstable"}[t.Burstable]
	case r.Accelerators != nil && t.Accelerators < *r.Accelerators:
		return fmt.Sprintf("it has %d accelerators, fewer than %d", t.Accelerators, *r.Accelerators)
	case r.Accelerators != nil && *r.Accelerators == 0 && t.Accelerators > 0:
		return "it has accelerators, which are not needed"
	case r.LocalStorage != nil && *r.LocalStorage && t.LocalGB == 0:
		return "it has no local disk"
	case r.Current != nil && *r.Current && !t.Current:
		return "it is of a former generation"
	case t.BareMetal:
		return "it is bare metal, which takes too long to start"
	}
	return ""
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// TypeVerdict is a type of the region, and why it may not replace the present one.
type TypeVerdict struct {
	Name string
	Why  string // empty: it may
}

// Fits says whether the type may replace the present one.
func (v TypeVerdict) Fits() bool { return v.Why == "" }

// JudgeTypes says of each type whether it meets requirements that were resolved: first those
// that do, each half in the order of types.
func (r Requirements) JudgeTypes(types []TypeFacts) []TypeVerdict {
	out := make([]TypeVerdict, 0, len(types))
	for _, t := range types {
		out = append(out, TypeVerdict{Name: t.Name, Why: r.Objection(t)})
	}
	slices.SortStableFunc(out, func(a, b TypeVerdict) int {
		switch {
		case a.Fits() == b.Fits():
			return 0
		case a.Fits():
			return -1
		}
		return 1
	})
	return out
}
