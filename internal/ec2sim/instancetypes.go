package ec2sim

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"spotkeeper/internal/ec2sim/client"
)

type typeItem struct {
	Name          string   `xml:"instanceType"`
	Current       bool     `xml:"currentGeneration"`
	Bare          bool     `xml:"bareMetal"`
	Burstable     bool     `xml:"burstablePerformanceSupported"`
	Hypervisor    string   `xml:"hypervisor"`
	Usage         []string `xml:"supportedUsageClasses>item"`
	RootTypes     []string `xml:"supportedRootDeviceTypes>item"`
	Architectures []string `xml:"processorInfo>supportedArchitectures>item"`
	VCPUs         int      `xml:"vCpuInfo>defaultVCpus"`
	MemoryMiB     int      `xml:"memoryInfo>sizeInMiB"`
}

type describeTypesResponse struct {
	reply
	Types     []typeItem `xml:"instanceTypeSet>item"`
	NextToken string     `xml:"nextToken,omitempty"`
}

func typeField(t instanceType, name string) []string {
	switch name {
	case "instance-type":
		return []string{t.name}
	case "processor-info.supported-architecture":
		return []string{t.arch}
	case "current-generation":
		return []string{"true"}
	case "bare-metal":
		return []string{"false"}
	case "burstable-performance-supported":
		return []string{strconv.FormatBool(t.family[0] == 't')}
	case "vcpu-info.default-vcpus":
		return []string{strconv.Itoa(t.vcpus)}
	case "memory-info.size-in-mib":
		return []string{strconv.Itoa(t.memoryMiB)}
	default: // supported-usage-class
		return []string{"on-demand", "spot"}
	}
}

func (c *call) describeInstanceTypes() (replier, error) {
	filters, err := c.form.filters("instance-type", "processor-info.supported-architecture", "current-generation",
		"bare-metal",
		"burstable-performance-supported", "vcpu-info.default-vcpus", "memory-info.size-in-mib",
		"supported-usage-class")
	if err != nil {
		return nil, err
	}
	names := c.form.list("InstanceType")
	for _, name := range names {
		if _, ok := typeMap[name]; !ok {
			return nil, fail("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
	}
	found := slices.DeleteFunc(slices.Clone(typeList), func(t instanceType) bool {
		return len(names) > 0 && !slices.Contains(names, t.name) ||
			!match(filters, nil, func(name string) []string { return typeField(t, name) })
	})
	found, next, err := page(c, found, 100, func(t instanceType) string { return t.name })
	if err != nil {
		return nil, err
	}
	out := &describeTypesResponse{NextToken: next}
	for _, t := range found {
		out.Types = append(out.Types, typeItem{
			Name:          t.name,
			Current:       true,
			Burstable:     t.family[0] == 't',
			Hypervisor:    "nitro",
			Usage:         []string{"on-demand", "spot"},
			RootTypes:     []string{"ebs"},
			Architectures: []string{t.arch},
			VCPUs:         t.vcpus,
			MemoryMiB:     t.memoryMiB,
		})
	}
	return out, nil
}

type offeringItem struct {
	Name     string `xml:"instanceType"`
	Kind     string `xml:"locationType"`
	Location string `xml:"location"`
}

type describeOfferingsResponse struct {
	reply
	Offerings []offeringItem `xml:"instanceTypeOfferingSet>item"`
	NextToken string         `xml:"nextToken,omitempty"`
}

// describeInstanceTypeOfferings says where a type is sold: here, everywhere.
func (c *call) describeInstanceTypeOfferings() (replier, error) {
	filters, err := c.form.filters("instance-type", "location")
	if err != nil {
		return nil, err
	}
	kind := c.form.get("LocationType")
	if kind == "" {
		kind = "region"
	}
	var found []offeringItem
	for _, t := range typeList {
		switch kind {
		case "region":
			found = append(found, offeringItem{t.name, kind, c.place.name})
		case "availability-zone":
			for _, z := range c.place.zones {
				found = append(found, offeringItem{t.name, kind, z.name})
			}
		case "availability-zone-id":
			for _, z := range c.place.zones {
				found = append(found, offeringItem{t.name, kind, z.id})
			}
		default:
			return nil, invalid("Invalid value '%s' for LocationType.", kind)
		}
	}
	key := func(o offeringItem) string { return o.Name + "\x00" + o.Location }
	slices.SortFunc(found, func(a, b offeringItem) int { return cmp.Compare(key(a), key(b)) })
	found = slices.DeleteFunc(found, func(o offeringItem) bool {
		return !match(filters, nil, func(name string) []string {
			return []string{map[string]string{"instance-type": o.Name, "location": o.Location}[name]}
		})
	})
	found, next, err := page(c, found, 1000, key)
	if err != nil {
		return nil, err
	}
	return &describeOfferingsResponse{Offerings: found, NextToken: next}, nil
}

type scoreItem struct {
	Region string `xml:"region"`
	ZoneID string `xml:"availabilityZoneId,omitempty"`
	Score  int    `xml:"score"`
}

type placementScoresResponse struct {
	reply
	Scores    []scoreItem `xml:"spotPlacementScoreSet>item"`
	NextToken string      `xml:"nextToken,omitempty"`
}

// getSpotPlacementScores rates zones from 1 to 10: cheap pools with capacity are
// likely to stay, a pool without capacity for the target is a 1.
func (c *call) getSpotPlacementScores() (replier, error) {
	target, err := c.form.number("TargetCapacity", 0)
	if err != nil {
		return nil, err
	}
	perZone, err := c.form.flag("SingleAvailabilityZone")
	if err != nil {
		return nil, err
	}
	types, places := c.form.list("InstanceType"), c.form.list("RegionName")
	if target < 1 || len(types) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameters TargetCapacity and InstanceType")
	}
	out := &placementScoresResponse{}
	for _, r := range regions {
		if r.partition != c.place.partition || len(places) > 0 && !slices.Contains(places, r.name) {
			continue
		}
		whole := scoreItem{Region: r.name, Score: 1}
		for _, z := range r.zones {
			item := scoreItem{r.name, z.id, 1}
			for _, name := range types {
				t, ok := typeMap[name]
				if !ok {
					return nil, invalid("Invalid value '%s' for InstanceType.", name)
				}
				pool := poolID(name, z.name)
				if c.world.fits(pool, client.Spot, target, c.now) == target {
					share := c.spotPrice(pool) / t.onDemand(r)
					item.Score = max(item.Score, min(10, int(math.Round(12*(1-share)))))
				}
			}
			whole.Score = max(whole.Score, item.Score)
			if perZone {
				out.Scores = append(out.Scores, item)
			}
		}
		if !perZone {
			out.Scores = append(out.Scores, whole)
		}
	}
	return out, nil
}
