package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/domain/replica"
)

// dryPlaces is how many zones a launch is tried in.
const dryPlaces = 2

// Preflight checks in calm whether a replacement of the template can be launched: what it
// names is looked at, and launches are tried with DryRun, as spot and on-demand. It changes
// nothing. A check that cannot be made is unknown, never a failure of the report.
func (p *Provider) Preflight(ctx context.Context, a Account, region, zone string, t Template) []preflight.Check {
	c, err := p.client(a, region)
	if err != nil {
		return []preflight.Check{checkOf(ctx, "account", err)}
	}
	out := []preflight.Check{
		p.check(ctx, "image "+t.ImageID, func(ctx context.Context) error { return lookAtImage(ctx, c, t.ImageID) }),
	}
	if t.KeyName != "" {
		out = append(out, p.check(ctx, "key pair "+t.KeyName, func(ctx context.Context) error {
			_, err := c.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{KeyNames: []string{t.KeyName}})
			return err
		}))
	}
	if len(t.SecurityGroupIDs) > 0 {
		out = append(out, p.check(ctx, "security groups", func(ctx context.Context) error {
			_, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: t.SecurityGroupIDs})
			return err
		}))
	}
	if t.VPCID != "" && len(t.Subnets) < 2 {
		out = append(out, preflight.Check{
			Name:   "subnets",
			Result: preflight.Warning,
			Detail: "the network has subnets in one zone only",
			Repair: "add a subnet in another zone: a zone can be out of capacity as a whole",
		})
	}
	for _, where := range dryCandidates(t, region, zone) {
		out = append(out, p.check(ctx,
			"launch of "+where.Key(), func(ctx context.Context) error { return dryRun(ctx, c, a, t, where) }))
	}
	out = append(out, p.checkSpotRole(ctx, c))
	if t.Metadata != nil && t.Metadata.Tokens == "optional" {
		out = append(out, preflight.Check{
			Name:   "metadata service",
			Result: preflight.Warning,
			Detail: "the instance answers IMDSv1, and a replacement answers IMDSv2 alone",
			Repair: "try it in calm: aws ec2 modify-instance-metadata-options --http-tokens required",
		})
	}
	for _, what := range t.NotCopied {
		out = append(out, preflight.Check{
			Name:   "copy",
			Result: preflight.Warning,
			Detail: "a replacement lacks " + what,
		})
	}
	for _, what := range t.Unread {
		what, mend, _ := strings.Cut(what, ": ")
		out = append(out, preflight.Check{
			Name:   "description",
			Result: preflight.Warning,
			Detail: "could not be read: " + what,
			Repair: mend,
		})
	}
	return out
}

// checkSpotRole looks for a sign that the account has the service-linked role of EC2 Spot, without
// which EC2 refuses every spot launch. A dry run does not show it, and IAM is not asked, because
// that takes a permission of its own. A spot request that is open or active is the sign. Without
// one it is not known, and the repair does no harm where the role is there.
func (p *Provider) checkSpotRole(ctx context.Context, c EC2API) preflight.Check {
	const name = "service-linked role of EC2 Spot"
	call, cancel := p.read(ctx)
	defer cancel()
	found, err := c.DescribeSpotInstanceRequests(call, &ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{
		newFilter("state", string(types.SpotInstanceStateOpen), string(types.SpotInstanceStateActive))}})
	if err != nil {
		return checkOf(call, name, err)
	}
	if len(found.SpotInstanceRequests) > 0 {
		return preflight.Check{Name: name, Result: preflight.OK}
	}
	return preflight.Check{
		Name:   name,
		Result: preflight.Unknown,
		Detail: "no spot instance runs in the region, so nothing shows that the account has the role",
		Repair: "create it once: `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`; " +
			"AWS answers that it has been taken where it is there",
	}
}

// dryCandidates are the places in which a launch is tried: other zones before the own one,
// as spot and on-demand.
func dryCandidates(t Template, region, own string) []replica.Candidate {
	zones := t.Zones()
	if len(zones) == 0 {
		zones = []string{own}
	}
	var out []replica.Candidate
	for _, mode := range []agent.Mode{agent.Spot, agent.OnDemand} {
		n := 0
		for _, az := range zones {
			if n == dryPlaces || az == own && len(zones) > 1 {
				continue
			}
			n++
			out = append(out, replica.Candidate{
				PoolID:       agent.PoolID(t.InstanceType, az),
				InstanceType: t.InstanceType,
				Region:       region,
				AZ:           az,
				Mode:         mode,
			})
		}
	}
	return out
}

// dryRun asks with the tags of a launch: without them the account's role would refuse it.
func dryRun(ctx context.Context, c EC2API, a Account, t Template, where replica.Candidate) error {
	request, err := NewLaunchRequest(t, where, Owner{ClientID: a.ClientID, ReplicaID: "preflight"})
	if err != nil {
		return err
	}
	in := request.input()
	in.DryRun = aws.Bool(true)
	_, err = c.RunInstances(ctx, in, disableRetries)
	if hasErrorCode(err, "DryRunOperation") {
		return nil
	}
	return err
}

func lookAtImage(ctx context.Context, c EC2API, id string) error {
	out, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{newFilter("image-id", id)}})
	switch {
	case err != nil:
		return err
	case len(out.Images) == 0:
		return &smithy.GenericAPIError{Code: "InvalidAMIID.NotFound"}
	case out.Images[0].State != types.ImageStateAvailable:
		return replica.Misconfigured.New("the image is %s", out.Images[0].State)
	}
	return nil
}

func (p *Provider) check(ctx context.Context, name string, look func(context.Context) error) preflight.Check {
	call, cancel := p.read(ctx)
	defer cancel()
	return checkOf(ctx, name, look(call))
}

// checkOf reads how a check went from its error. A permission that is missing for looking
// only leaves the check unknown; one that is missing for launching is a failure.
func checkOf(ctx context.Context, name string, err error) preflight.Check {
	out := preflight.Check{Name: name, Result: preflight.OK}
	if err == nil {
		return out
	}
	api, refused := errors.AsType[smithy.APIError](err)
	if !refused {
		out.Result, out.Detail = preflight.Unknown, "EC2 did not answer"
		if f := classify(context.WithoutCancel(ctx), err, ""); f != nil {
			out.Detail = strings.TrimPrefix(f.Error(), ": ")
		}
		return out
	}
	code := classifyError(api.ErrorCode(), false)
	out.Result, out.Detail, out.Repair = preflight.Failed, fmt.Sprintf("%s (%s)", sentences[code],
		api.ErrorCode()), repairFor(api.ErrorCode())
	if code.Kind().Retryable() || code == replica.NoCapacity ||
		code == replica.Refused && !strings.HasPrefix(name, "launch ") {
		out.Result = preflight.Unknown
	}
	return out
}
