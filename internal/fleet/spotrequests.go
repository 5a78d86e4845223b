package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// CancelRequest cancels the persistent spot request of an instance that EC2 shows with our
// tags and the client's, if it has one. Without that EC2 would launch the instance again
// when it has ended, without tags, and start one that it has stopped. It sets a level, so
// it may run twice. Where EC2 no longer shows the instance, or the account does not let us
// look, nothing is cancelled. Fails with instance.not_ours.
func (p *Provider) CancelRequest(ctx context.Context, a Account, region, instanceID string) error {
	c, err := p.client(a, region)
	if err != nil {
		return err
	}
	seen, err := p.requireOurs(ctx, a, region, instanceID)
	if err != nil || seen.State == StateAbsent {
		return err
	}
	return p.cancelRequest(ctx, c, seen)
}

// cancelRequest is CancelRequest for an instance that was found to be ours. The request is
// asked for by its own id: once its instance has ended, a request that is open until there is
// capacity again names no instance.
func (p *Provider) cancelRequest(ctx context.Context, c EC2API, seen Instance) error {
	if seen.SpotRequestID == "" {
		return nil
	}
	call, cancel := p.read(ctx)
	defer cancel()
	found, err := c.DescribeSpotInstanceRequests(call, &ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{
		newFilter("spot-instance-request-id", seen.SpotRequestID), newFilter("type", string(types.SpotInstanceTypePersistent)),
		newFilter("state", string(types.SpotInstanceStateOpen), string(types.SpotInstanceStateActive),
			string(types.SpotInstanceStateDisabled)),
	}})
	if hasErrorCode(err, "UnauthorizedOperation", "AccessDenied") {
		return nil
	}
	if err != nil {
		return classify(call, err, "looking for the spot request of "+seen.ID)
	}
	var ids []string
	for _, r := range found.SpotInstanceRequests {
		ids = append(ids, aws.ToString(r.SpotInstanceRequestId))
	}
	if len(ids) == 0 {
		return nil
	}
	_, err = c.CancelSpotInstanceRequests(call, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: ids})
	return classify(call, err, "cancelling the spot request of "+seen.ID)
}
