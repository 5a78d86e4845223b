package fleet

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/domain/replica"
)

// Template is what a new instance copies from its original.
type Template struct {
	From               string   `json:"from"` // the instance it was read from
	InstanceType       string   `json:"instance_type"`
	Architecture       string   `json:"architecture,omitempty"` // types of another one cannot run the image
	ImageID            string   `json:"image_id"`
	KeyName            string   `json:"key_name,omitempty"`
	InstanceProfileARN string   `json:"instance_profile_arn,omitempty"`
	SecurityGroupIDs   []string `json:"security_group_ids,omitempty"`
	UserData           string   `json:"user_data,omitempty"` // base64
	// UserDataHidden says that we were not allowed to read the user data, so the
	// new instance starts without it.
	UserDataHidden bool  `json:"user_data_hidden,omitempty"`
	EBSOptimized   bool  `json:"ebs_optimized,omitempty"`
	MetadataHops   int32 `json:"metadata_hops"`
	Description
	VPCID string `json:"vpc_id,omitempty"`
	// Subnets holds, per zone, the subnets of the same network, best first: the instance's
	// own in its own zone, then by free addresses. A zone that is missing here cannot be
	// launched in.
	Subnets map[string]SubnetList `json:"subnets,omitempty"`
	Tags    map[string]string     `json:"tags,omitempty"` // the instance's own, without AWS's and ours
}

// Zones lists where the template can be launched.
func (t Template) Zones() []string { return slices.Sorted(maps.Keys(t.Subnets)) }

// defaultHops lets a container on the instance reach the metadata service.
const defaultHops = 2

// Template reads what a new instance has to copy. The instance must still be
// there: one that has ended has lost its network. It must carry our tags and the
// client's: a stranger's image, user data and role are not copied. Fails with
// launch.instance_gone, instance.not_ours, and as reads do.
func (p *Provider) Template(ctx context.Context, a Account, region, instanceID string) (Template, error) {
	c, err := p.client(a, region)
	if err != nil {
		return Template{}, err
	}
	raw, err := p.find(ctx, c, instanceID)
	if err != nil {
		return Template{}, err
	}
	if err := checkOurs(a, instanceFrom(region, raw)); err != nil {
		return Template{}, err
	}
	source := instanceFrom(region, raw)
	if source.State == StateTerminated || source.ImageID == "" {
		return Template{}, replica.InstanceGone.New("instance %s has ended, and what it was launched with went with it",
			instanceID)
	}
	t := Template{
		From: source.ID, InstanceType: source.InstanceType, Architecture: source.Architecture,
		ImageID: source.ImageID, KeyName: source.KeyName, InstanceProfileARN: source.InstanceProfileARN,
		SecurityGroupIDs: source.SecurityGroupIDs, EBSOptimized: aws.ToBool(raw.EbsOptimized),
		MetadataHops: defaultHops, VPCID: source.VPCID, Tags: inheritedTags(source.Tags),
	}
	if raw.MetadataOptions != nil && raw.MetadataOptions.HttpPutResponseHopLimit != nil {
		t.MetadataHops = max(defaultHops, *raw.MetadataOptions.HttpPutResponseHopLimit)
	}
	if t.UserData, t.UserDataHidden, err = p.userData(ctx, c, instanceID); err != nil {
		return Template{}, err
	}
	givesPublic := false
	if source.VPCID != "" {
		if t.Subnets, givesPublic, err = p.subnets(ctx, c, source); err != nil {
			return Template{}, err
		}
	}
	t.Description = describe(p.sources(ctx, c, raw))
	t.simplify(givesPublic)
	if t.UserDataHidden {
		t.Unread = append(t.Unread, "the user data: allow ec2:DescribeInstanceAttribute")
	}
	return t, nil
}

func (p *Provider) find(ctx context.Context, c EC2API, instanceID string) (types.Instance, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstances(ctx,
		&ec2.DescribeInstancesInput{Filters: []types.Filter{newFilter("instance-id", instanceID)}})
	if err != nil {
		return types.Instance{}, classify(ctx, err, "describing "+instanceID)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return i, nil
		}
	}
	return types.Instance{}, replica.InstanceGone.New("EC2 does not know instance %s", instanceID)
}

// userData reads the user data; a tenant may keep it from us.
func (p *Provider) userData(ctx context.Context, c EC2API, instanceID string) (data string, hidden bool, err error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{
		InstanceId: aws.String(instanceID), Attribute: types.InstanceAttributeNameUserData,
	})
	switch {
	case hasErrorCode(err, "UnauthorizedOperation", "AccessDenied"):
		return "", true, nil
	case err != nil:
		return "", false, classify(ctx, err, "reading the user data of "+instanceID)
	case out.UserData == nil:
		return "", false, nil
	}
	return aws.ToString(out.UserData.Value), false, nil
}

func newFilter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}
