package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// SubnetList lists the subnets of one zone, best first.
type SubnetList []string

// UnmarshalJSON also reads the single subnet that templates held before.
func (l *SubnetList) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*l = SubnetList{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(l))
}

// split returns the best subnet and the others.
func (l SubnetList) split() (best string, others []string) {
	if len(l) == 0 {
		return "", nil
	}
	return l[0], slices.Clone(l[1:])
}

// mostSubnets is how many subnets of a zone a template holds.
const mostSubnets = 5

// subnets lists the subnets of the source's network by zone, and says whether its own gives
// public addresses.
func (p *Provider) subnets(
	ctx context.Context,
	c EC2API,
	source Instance,
) (byZone map[string]SubnetList, givesPublic bool, err error) {
	var all []types.Subnet
	for token := (*string)(nil); ; {
		page, err := p.subnetPage(ctx, c, source.VPCID, token)
		if err != nil {
			return nil, false, err
		}
		all = append(all, page.Subnets...)
		if token = page.NextToken; aws.ToString(token) == "" {
			break
		}
	}
	for _, s := range all {
		if aws.ToString(s.SubnetId) == source.SubnetID {
			givesPublic = aws.ToBool(s.MapPublicIpOnLaunch)
		}
	}
	return chooseSubnets(all, source.SubnetID), givesPublic, nil
}

func (p *Provider) subnetPage(
	ctx context.Context,
	c EC2API,
	vpcID string,
	token *string,
) (*ec2.DescribeSubnetsOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
		Filters:   []types.Filter{newFilter("vpc-id", vpcID)},
		NextToken: token,
	})
	return out, classify(ctx, err, "listing the subnets of "+vpcID)
}

// chooseSubnets orders the subnets of each zone: the source's own, then those that address
// as it does (public or not, with IPv4 or without), by free addresses. A full one comes
// last, because addresses are freed. A subnet without IPv4 is left out where the source's
// own has it.
func chooseSubnets(all []types.Subnet, own string) map[string]SubnetList {
	var like types.Subnet
	for _, s := range all {
		if aws.ToString(s.SubnetId) == own {
			like = s
		}
	}
	score := func(s types.Subnet) int {
		free := int(aws.ToInt32(s.AvailableIpAddressCount))
		switch {
		case free == 0 && !aws.ToBool(s.Ipv6Native):
			return 0
		case aws.ToString(s.SubnetId) == own:
			return 1 << 40
		case aws.ToBool(s.MapPublicIpOnLaunch) == aws.ToBool(like.MapPublicIpOnLaunch):
			return 1<<35 + free
		default:
			return free
		}
	}
	all = slices.DeleteFunc(slices.Clone(all), func(s types.Subnet) bool {
		return aws.ToBool(s.Ipv6Native) != aws.ToBool(like.Ipv6Native) && like.SubnetId != nil
	})
	slices.SortFunc(all, func(x, y types.Subnet) int {
		return cmp.Or(cmp.Compare(score(y), score(x)), cmp.Compare(aws.ToString(x.SubnetId), aws.ToString(y.SubnetId)))
	})
	chosen := map[string]SubnetList{}
	for _, s := range all {
		az := aws.ToString(s.AvailabilityZone)
		if len(chosen[az]) < mostSubnets {
			chosen[az] = append(chosen[az], aws.ToString(s.SubnetId))
		}
	}
	return chosen
}
