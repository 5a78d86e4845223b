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

// Template is what a new instance copies from the one it stands by for.
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
	UserDataHidden bool   `json:"user_data_hidden,omitempty"`
	EBSOptimized   bool   `json:"ebs_optimized,omitempty"`
	MetadataHops   int32  `json:"metadata_hops"`
	VPCID          string `json:"vpc_id,omitempty"`
	// Subnets holds, per zone, the subnet of the same network with the most free
	// addresses; the instance's own in its own zone while that one has any. A zone
	// that is missing here cannot be launched in.
	Subnets map[string]string `json:"subnets,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"` // the instance's own, without AWS's and ours
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
		return Template{}, replica.Gone.New("instance %s has ended, and what it was launched with went with it", instanceID)
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
	if source.VPCID != "" {
		t.Subnets, err = p.subnets(ctx, c, source)
	}
	return t, err
}

func (p *Provider) find(ctx context.Context, c EC2API, instanceID string) (types.Instance, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{newFilter("instance-id", instanceID)}})
	if err != nil {
		return types.Instance{}, classify(ctx, err, "describing "+instanceID)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return i, nil
		}
	}
	return types.Instance{}, replica.Gone.New("EC2 does not know instance %s", instanceID)
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

// subnets chooses one subnet per zone of the source's network. Subnets that
// address differently (public or not) are not mixed while there is a choice.
func (p *Provider) subnets(ctx context.Context, c EC2API, source Instance) (map[string]string, error) {
	var all []types.Subnet
	for token := (*string)(nil); ; {
		page, err := p.subnetPage(ctx, c, source.VPCID, token)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Subnets...)
		if token = page.NextToken; aws.ToString(token) == "" {
			break
		}
	}
	return chooseSubnets(all, source.SubnetID), nil
}

func (p *Provider) subnetPage(ctx context.Context, c EC2API, vpcID string, token *string) (*ec2.DescribeSubnetsOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{newFilter("vpc-id", vpcID)}, NextToken: token})
	return out, classify(ctx, err, "listing the subnets of "+vpcID)
}

func chooseSubnets(all []types.Subnet, own string) map[string]string {
	public := false
	for _, s := range all {
		if aws.ToString(s.SubnetId) == own {
			public = aws.ToBool(s.MapPublicIpOnLaunch)
		}
	}
	score := func(s types.Subnet) int64 {
		free := int64(aws.ToInt32(s.AvailableIpAddressCount))
		switch {
		case free == 0:
			return 0
		case aws.ToString(s.SubnetId) == own:
			return 1 << 40
		case aws.ToBool(s.MapPublicIpOnLaunch) == public:
			return 1<<35 + free
		default:
			return free
		}
	}
	slices.SortFunc(all, func(x, y types.Subnet) int {
		if d := score(y) - score(x); d != 0 {
			return int(max(-1, min(1, d)))
		}
		return slices.Compare([]string{aws.ToString(x.SubnetId)}, []string{aws.ToString(y.SubnetId)})
	})
	chosen := map[string]string{}
	for _, s := range all {
		az := aws.ToString(s.AvailabilityZone)
		if _, have := chosen[az]; !have && score(s) > 0 {
			chosen[az] = aws.ToString(s.SubnetId)
		}
	}
	return chosen
}

func newFilter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}
