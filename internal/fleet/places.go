package fleet

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Zone is an availability zone. Names are mapped per account, ids are not: to
// compare two accounts, compare ids.
type Zone struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// Zones lists the zones of a region that the account can use.
func (p *Provider) Zones(ctx context.Context, a Account, region string) ([]Zone, error) {
	c, err := p.client(a, region)
	if err != nil {
		return nil, err
	}
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	if err != nil {
		return nil, classify(ctx, err, "listing the zones of "+region)
	}
	var zones []Zone
	for _, z := range out.AvailabilityZones {
		ordinary := z.ZoneType == nil || aws.ToString(z.ZoneType) == "availability-zone"
		usable := z.OptInStatus == "" || z.OptInStatus != types.AvailabilityZoneOptInStatusNotOptedIn
		if ordinary && usable && (z.State == "" || z.State == types.AvailabilityZoneStateAvailable) {
			zones = append(zones, Zone{Name: aws.ToString(z.ZoneName), ID: aws.ToString(z.ZoneId)})
		}
	}
	slices.SortFunc(zones, func(x, y Zone) int { return strings.Compare(x.Name, y.Name) })
	return zones, nil
}

// Offerings returns the zones in which each instance type is offered. Types may
// be patterns, as m5.*; none means all.
func (p *Provider) Offerings(
	ctx context.Context,
	a Account,
	region string,
	instanceTypes ...string,
) (map[string][]string, error) {
	c, err := p.client(a, region)
	if err != nil {
		return nil, err
	}
	in := &ec2.DescribeInstanceTypeOfferingsInput{LocationType: types.LocationTypeAvailabilityZone}
	if len(instanceTypes) > 0 {
		in.Filters = []types.Filter{newFilter("instance-type", instanceTypes...)}
	}
	offered := map[string][]string{}
	for {
		out, err := p.offeringPage(ctx, c, in)
		if err != nil {
			return nil, err
		}
		for _, o := range out.InstanceTypeOfferings {
			offered[string(o.InstanceType)] = append(offered[string(o.InstanceType)], aws.ToString(o.Location))
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	for _, zones := range offered {
		slices.Sort(zones)
	}
	return offered, nil
}

func (p *Provider) offeringPage(
	ctx context.Context,
	c EC2API,
	in *ec2.DescribeInstanceTypeOfferingsInput,
) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstanceTypeOfferings(ctx, in)
	return out, classify(ctx, err, "listing what the zones offer")
}
