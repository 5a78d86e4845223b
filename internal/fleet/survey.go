package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Status codes of the spot request of an instance that EC2 takes back.
const (
	markedForTermination = "marked-for-termination"
	markedForStop        = "marked-for-stop"
)

// Sighting is what EC2 shows of an instance and of its spot request.
type Sighting struct {
	State  string
	Marked time.Time // when EC2 marked it for termination or stop; zero when it has not
	Action string    // what EC2 does with a marked instance: terminate or stop
}

// Survey asks for many instances at once: two calls for two hundred. An instance that EC2
// does not know is not in the answer. Where the role may not read spot requests the
// states alone are in it, and marked says why.
func (p *Provider) Survey(
	ctx context.Context,
	a Account,
	region string,
	ids []string,
) (found map[string]Sighting, marked, err error) {
	seen, err := p.Describe(ctx, a, region, ids)
	if err != nil {
		return nil, nil, err
	}
	found = make(map[string]Sighting, len(seen))
	for id, i := range seen {
		found[id] = Sighting{State: i.State}
	}
	for some := range slices.Chunk(ids, batch) {
		if marked = p.marks(ctx, a, region, some, found); marked != nil {
			break
		}
	}
	return found, marked, nil
}

func (p *Provider) marks(ctx context.Context, a Account, region string, ids []string, into map[string]Sighting) error {
	c, err := p.client(a, region)
	if err != nil {
		return err
	}
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{
		newFilter("instance-id", ids...), newFilter("status-code", markedForTermination, markedForStop)}})
	if err != nil {
		return classify(ctx, err, "reading spot requests")
	}
	for _, r := range out.SpotInstanceRequests {
		id := aws.ToString(r.InstanceId)
		if s, known := into[id]; known && r.Status != nil {
			s.Marked = aws.ToTime(r.Status.UpdateTime)
			s.Action = "terminate"
			if aws.ToString(r.Status.Code) == markedForStop {
				s.Action = "stop"
			}
			into[id] = s
		}
	}
	return nil
}
