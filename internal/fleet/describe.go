package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// batch is EC2's limit of values per filter. Ids are asked for by filter and not
// by list, because a list with one unknown id is refused as a whole.
const batch = 200

// page is how many instances an answer holds at most.
const page = 1000

// visibility is how long after its launch an instance may be unknown to EC2's
// own Describe calls.
const visibility = 5 * time.Minute

// Describe returns what EC2 says of the instances, by id. IDs that
// EC2 does not know are omitted: the instance is either very new or was terminated
// over an hour ago. Its launch time says which.
func (p *Provider) Describe(ctx context.Context, a Account, region string, ids []string) (map[string]Instance, error) {
	out := make(map[string]Instance, len(ids))
	for some := range slices.Chunk(ids, batch) {
		err := p.list(ctx, a, region,
			[]types.Filter{newFilter("instance-id", some...)}, func(i Instance) { out[i.ID] = i })
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ListOurs returns all instances of an account in a region that carry our tag and
// have not ended, for the sweep. clientID, when set, leaves out other tenants'.
func (p *Provider) ListOurs(ctx context.Context, a Account, region, clientID string) ([]Instance, error) {
	filters := []types.Filter{
		newFilter("tag:"+TagManagedBy, ManagedBy),
		newFilter("instance-state-name", StatePending, StateRunning, StateStopping, StateStopped),
	}
	if clientID != "" {
		filters = append(filters, newFilter("tag:"+TagClient, clientID))
	}
	var out []Instance
	err := p.list(ctx, a, region, filters, func(i Instance) { out = append(out, i) })
	return out, err
}

// FindLaunched returns the ids of the instances that were launched with the client tokens, by
// token. Ended ones are included while EC2 shows them, which is about an hour.
func (p *Provider) FindLaunched(
	ctx context.Context,
	a Account,
	region string,
	tokens []string,
) (map[string]string, error) {
	out := map[string]string{}
	for some := range slices.Chunk(tokens, batch) {
		err := p.list(ctx, a, region, []types.Filter{newFilter("client-token", some...)}, func(i Instance) {
			out[i.ClientToken] = i.ID
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// list calls each with every instance that passes the filters, over all pages.
func (p *Provider) list(
	ctx context.Context,
	a Account,
	region string,
	filters []types.Filter,
	each func(Instance),
	opts ...func(*ec2.Options),
) error {
	c, err := p.client(a, region)
	if err != nil {
		return err
	}
	for token := (*string)(nil); ; {
		out, err := p.instancePage(ctx, c, filters, token, opts...)
		if err != nil {
			return err
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				seen := instanceFrom(region, i)
				seen.OwnerID = aws.ToString(r.OwnerId)
				each(seen)
			}
		}
		if token = out.NextToken; aws.ToString(token) == "" {
			return nil
		}
	}
}

func (p *Provider) instancePage(
	ctx context.Context, c EC2API, filters []types.Filter, token *string, opts ...func(*ec2.Options),
) (*ec2.DescribeInstancesOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters:    filters,
		MaxResults: aws.Int32(page),
		NextToken:  token,
	}, opts...)
	return out, classify(ctx, err, "describing instances")
}
