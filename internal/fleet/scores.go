package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// fleetOfOne is the capacity that scores are asked for: replacements come one by one.
const fleetOfOne = 1

// PlacementScores returns EC2's placement score of each zone of a region by the zone's name
// in the account, from 1 to 10: how likely a spot request for any of the types succeeds now.
// Fails with launch.refused when the role may not ask.
func (p *Provider) PlacementScores(
	ctx context.Context, a Account, region string, instanceTypes []string,
) (map[string]int, error) {
	c, err := p.client(a, region)
	if err != nil {
		return nil, err
	}
	zones, err := p.Zones(ctx, a, region)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(zones))
	for _, z := range zones {
		names[z.ID] = z.Name
	}
	out := map[string]int{}
	for token := (*string)(nil); ; {
		page, err := p.scorePage(ctx, c, region, instanceTypes, token)
		if err != nil {
			return nil, err
		}
		for _, s := range page.SpotPlacementScores {
			if name, known := names[aws.ToString(s.AvailabilityZoneId)]; known {
				out[name] = int(aws.ToInt32(s.Score))
			}
		}
		if token = page.NextToken; aws.ToString(token) == "" {
			return out, nil
		}
	}
}

func (p *Provider) scorePage(
	ctx context.Context, c EC2API, region string, instanceTypes []string, token *string,
) (*ec2.GetSpotPlacementScoresOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.GetSpotPlacementScores(ctx, &ec2.GetSpotPlacementScoresInput{
		InstanceTypes:          instanceTypes,
		TargetCapacity:         aws.Int32(fleetOfOne),
		SingleAvailabilityZone: aws.Bool(true),
		RegionNames:            []string{region},
		NextToken:              token,
	})
	return out, classify(ctx, err, "reading the placement scores of "+region)
}
