package ec2sim

import (
	"slices"
)

type regionItem struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	OptIn    string `xml:"optInStatus"`
}

type describeRegionsResponse struct {
	reply
	Regions []regionItem `xml:"regionInfo>item"`
}

func (c *call) describeRegions() (replier, error) {
	filters, err := c.form.filters("region-name", "endpoint", "opt-in-status")
	if err != nil {
		return nil, err
	}
	names := c.form.list("RegionName")
	for _, name := range names {
		if _, ok := regionNamed(name); !ok {
			return nil, invalid("Invalid region names provided: %s", name)
		}
	}
	out := &describeRegionsResponse{}
	for _, r := range regions {
		if r.partition != c.place.partition {
			continue
		}
		item := regionItem{r.name, "ec2." + r.name + "." + r.domain, "opt-in-not-required"}
		field := map[string]string{"region-name": item.Name, "endpoint": item.Endpoint, "opt-in-status": item.OptIn}
		if (len(names) == 0 || slices.Contains(names, r.name)) &&
			match(filters, nil, func(name string) []string { return []string{field[name]} }) {
			out.Regions = append(out.Regions, item)
		}
	}
	return out, nil
}

type zoneItem struct {
	Name   string `xml:"zoneName"`
	ID     string `xml:"zoneId"`
	State  string `xml:"zoneState"`
	Region string `xml:"regionName"`
	Kind   string `xml:"zoneType"`
	Group  string `xml:"groupName"`
	Border string `xml:"networkBorderGroup"`
	OptIn  string `xml:"optInStatus"`
}

type describeZonesResponse struct {
	reply
	Zones []zoneItem `xml:"availabilityZoneInfo>item"`
}

func (c *call) describeAvailabilityZones() (replier, error) {
	filters, err := c.form.filters("zone-name", "zone-id", "region-name", "state", "zone-type", "opt-in-status",
		"group-name")
	if err != nil {
		return nil, err
	}
	names := slices.Concat(c.form.list("ZoneName"), c.form.list("ZoneId"))
	for _, name := range names {
		if _, ok := c.place.zone(name); !ok {
			return nil, invalid("Invalid availability zone: [%s]", name)
		}
	}
	out := &describeZonesResponse{}
	for _, z := range c.openZones(c.place.all()) {
		item := zoneItem{z.name, z.id, "available", c.place.name, z.kind, c.place.name, c.place.name,
			"opt-in-not-required"}
		if z.kind != ordinary {
			if c.form.get("AllAvailabilityZones") != "true" && !slices.Contains(names, z.name) {
				continue
			}
			item.OptIn = "opted-in"
		}
		field := map[string]string{
			"zone-name": z.name, "zone-id": z.id, "region-name": item.Region, "state": item.State,
			"zone-type": item.Kind, "opt-in-status": item.OptIn, "group-name": item.Group,
		}
		if (len(names) == 0 || slices.Contains(names, z.name) || slices.Contains(names, z.id)) &&
			match(filters, nil, func(name string) []string { return []string{field[name]} }) {
			out.Zones = append(out.Zones, item)
		}
	}
	return out, nil
}
