package ec2sim

import (
	"slices"
	"strings"
)

// region is a place with zones. Zone names mean the same zone in every account.
type region struct {
	name     string
	location string // as the price list writes it
	zones    []zone
	local    []zone  // Local and Wavelength Zones: in no list of pools, and launched in by name only
	factor   float64 // prices relative to us-east-1, in the currency of the partition
	partition
}

// partition is a part of AWS with accounts, names and a currency of its own.
type partition struct {
	name     string
	domain   string // of its endpoints
	currency string
}

var (
	commercial = partition{"aws", "amazonaws.com", "USD"}
	china      = partition{"aws-cn", "amazonaws.com.cn", "CNY"}
	government = partition{"aws-us-gov", "amazonaws.com", "USD"}
)

type zone struct{ name, id, kind string }

const ordinary = "availability-zone"

// all are the zones of every kind.
func (r region) all() []zone { return append(r.zones[:len(r.zones):len(r.zones)], r.local...) }

var regions = []region{
	{"eu-west-1", "EU (Ireland)", zones("eu-west-1", "euw1", "abc"), nil, 1.115, commercial},
	{"us-east-1", "US East (N. Virginia)", zones("us-east-1", "use1", "abcdef"),
		[]zone{{"us-east-1-wl1-bos-wlz-1", "use1-wl1-bos-wlz1", "wavelength-zone"}}, 1, commercial},
	{"us-west-2", "US West (Oregon)", zones("us-west-2", "usw2", "abcd"),
		[]zone{{"us-west-2-lax-1a", "usw2-lax1-az1", "local-zone"}}, 1, commercial},
	{"cn-north-1", "China (Beijing)", zones("cn-north-1", "cnn1", "abc"), nil, 6.2, china},
	{"us-gov-west-1", "AWS GovCloud (US-West)", zones("us-gov-west-1", "usgw1", "abc"), nil, 1.25, government},
}

func zones(region, short, letters string) []zone {
	var out []zone
	for i, letter := range letters {
		out = append(out, zone{region + string(letter), short + "-az" + string(rune('1'+(i*5+3)%len(letters))),
			ordinary})
	}
	return out
}

func regionNamed(name string) (region, bool) {
	i := slices.IndexFunc(regions, func(r region) bool { return r.name == name })
	if i < 0 {
		return region{}, false
	}
	return regions[i], true
}

func (r region) zone(nameOrID string) (zone, bool) {
	i := slices.IndexFunc(r.all(), func(z zone) bool { return z.name == nameOrID || z.id == nameOrID })
	if i < 0 {
		return zone{}, false
	}
	return r.all()[i], true
}

// instanceType is one size of a family, with its Linux price per hour in us-east-1.
type instanceType struct {
	name      string
	family    string
	arch      string
	vcpus     int
	memoryMiB int
	price     float64
}

// families lists per family the architecture, memory per vCPU, the price of
// one large, and the sizes. Sizes double in price, as they do at AWS.
var families = []struct {
	name, arch string
	memory     int // MiB of a large
	large      float64
	sizes      string
}{
	{"c5", "x86_64", 4096, 0.085, "large xlarge 2xlarge 4xlarge"},
	{"c6g", "arm64", 4096, 0.068, "medium large xlarge 2xlarge"},
	{"c6i", "x86_64", 4096, 0.085, "large xlarge 2xlarge 4xlarge"},
	{"m5", "x86_64", 8192, 0.096, "large xlarge 2xlarge 4xlarge"},
	{"m5a", "x86_64", 8192, 0.086, "large xlarge 2xlarge 4xlarge"},
	{"m6g", "arm64", 8192, 0.077, "medium large xlarge 2xlarge"},
	{"m6i", "x86_64", 8192, 0.096, "large xlarge 2xlarge 4xlarge"},
	{"r5", "x86_64", 16384, 0.126, "large xlarge 2xlarge 4xlarge"},
	{"r6i", "x86_64", 16384, 0.126, "large xlarge 2xlarge 4xlarge"},
	{"t3", "x86_64", 8192, 0.0832, "nano micro small medium large xlarge 2xlarge"},
	{"t3a", "x86_64", 8192, 0.0752, "nano micro small medium large xlarge 2xlarge"},
	{"t4g", "arm64", 8192, 0.0672, "nano micro small medium large xlarge 2xlarge"},
}

var sizes = map[string]float64{
	"nano":    1. / 16,
	"micro":   1. / 8,
	"small":   1. / 4,
	"medium":  1. / 2,
	"large":   1,
	"xlarge":  2,
	"2xlarge": 4,
	"4xlarge": 8,
}

var (
	typeList = buildTypes()
	typeMap  = func() map[string]instanceType {
		m := map[string]instanceType{}
		for _, t := range typeList {
			m[t.name] = t
		}
		return m
	}()
)

func buildTypes() []instanceType {
	var out []instanceType
	for _, f := range families {
		for size := range strings.FieldsSeq(f.sizes) {
			by := sizes[size]
			t := instanceType{
				name:      f.name + "." + size,
				family:    f.name,
				arch:      f.arch,
				memoryMiB: int(float64(f.memory) * by),
				price:     f.large * by,
			}
			t.vcpus = max(2, int(2*by))
			if size == "medium" && f.name[0] != 't' {
				t.vcpus = 1
			}
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b instanceType) int { return strings.Compare(a.name, b.name) })
	return out
}

// onDemand is the Linux list price per hour.
func (t instanceType) onDemand(r region) float64 { return t.price * r.factor }

// poolID names the capacity of a type in a zone, as the product does.
func poolID(instanceType, zone string) string { return instanceType + "." + zone }

// splitPool cuts a pool at its last dot.
func splitPool(pool string) (t instanceType, r region, zone string, ok bool) {
	i := strings.LastIndexByte(pool, '.')
	if i < 0 {
		return t, r, "", false
	}
	zone = pool[i+1:]
	t, ok = typeMap[pool[:i]]
	if !ok || zone == "" {
		return t, r, "", false
	}
	for _, r := range regions {
		if _, ok := r.zone(zone); ok {
			return t, r, zone, true
		}
	}
	return t, r, "", false
}

// pools lists every pool there is.
func pools() []string {
	var out []string
	for _, r := range regions {
		for _, t := range typeList {
			for _, z := range r.zones {
				out = append(out, poolID(t.name, z.name))
			}
		}
	}
	return out
}
