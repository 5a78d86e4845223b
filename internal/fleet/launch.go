package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// LaunchRequest is everything that RunInstances gets. It is frozen at the first attempt and
// stored as JSON, because EC2 refuses a token that is repeated with other parameters. All
// fields are plain values, and the call is made from them alone.
type LaunchRequest struct {
	ClientToken        string     `json:"client_token"`
	Region             string     `json:"region"`
	Mode               agent.Mode `json:"mode"`
	InstanceType       string     `json:"instance_type"`
	AZ                 string     `json:"az"`
	SubnetID           string     `json:"subnet_id,omitempty"`     // empty: the zone's default subnet
	OtherSubnets       []string   `json:"other_subnets,omitempty"` // of the zone, tried in turn when that one is full or gone
	Without            []string   `json:"without,omitempty"`       // in words: what was left out because it does not exist any more
	ImageID            string     `json:"image_id"`
	KeyName            string     `json:"key_name,omitempty"`
	InstanceProfileARN string     `json:"instance_profile_arn,omitempty"`
	SecurityGroupIDs   []string   `json:"security_group_ids,omitempty"`
	UserData           string     `json:"user_data,omitempty"` // base64, as EC2 gave it
	EBSOptimized       bool       `json:"ebs_optimized,omitempty"`
	MetadataHops       int32      `json:"metadata_hops"`
	Description
	Tags map[string]string `json:"tags"`
}

// NewLaunchRequest makes the request for one attempt: a copy of what the template
// was taken from, in another place, for an owner. Fails with
// launch.no_addresses when the template's network has no room in that zone.
func NewLaunchRequest(t Template, where replica.Candidate, owner Owner) (LaunchRequest, error) {
	subnet, others := t.Subnets[where.AZ].split()
	if t.VPCID != "" && subnet == "" {
		return LaunchRequest{}, replica.NoAddresses.New("the network %s has no subnet with free addresses in %s",
			t.VPCID, where.AZ)
	}
	described, without := t.adapt(t.InstanceType, where)
	if !t.UserDataHidden {
		described.LaunchTemplate = nil // it has nothing that is not copied
	}
	tags := maps.Clone(t.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, owner.tags())
	return LaunchRequest{
		ClientToken:        LaunchToken(owner.ReplicaID, where.PoolID, where.Mode),
		Region:             where.Region,
		Mode:               where.Mode,
		InstanceType:       where.InstanceType,
		AZ:                 where.AZ,
		SubnetID:           subnet,
		OtherSubnets:       others,
		ImageID:            t.ImageID,
		KeyName:            t.KeyName,
		InstanceProfileARN: t.InstanceProfileARN,
		SecurityGroupIDs:   slices.Clone(t.SecurityGroupIDs),
		UserData:           t.UserData,
		EBSOptimized:       t.EBSOptimized,
		MetadataHops:       t.MetadataHops,
		Tags:               tags,
		Description:        described,
		Without:            without,
	}, nil
}

// Launch asks EC2 for exactly one instance. The token makes the same request the
// same instance, so a launch whose answer was lost is repeated without harm.
//
// Fails with instance.not_ours when the request is not tagged for the account's client,
// and with launch.no_capacity, .quota, .no_addresses, .throttled, .refused,
// .misconfigured, .unexplained, .token_of_dead_instance, .token_reused, or ec2.unavailable, after which the instance may exist
// all the same.
func (p *Provider) Launch(ctx context.Context, a Account, r LaunchRequest) (Instance, error) {
	c, err := p.client(a, r.Region)
	if err != nil {
		return Instance{}, err
	}
	if err := checkLaunch(a, r); err != nil {
		return Instance{}, err
	}
	if r.ClientToken == "" || len(r.ClientToken) > 64 {
		return Instance{}, replica.Misconfigured.New("a launch needs a client token of 1 to 64 characters, not %d",
			len(r.ClientToken))
	}
	ctx, cancel := p.write(ctx)
	defer cancel()
	out, err := c.RunInstances(ctx, r.input(), disableRetries)
	if err != nil {
		return Instance{}, classifyLaunch(ctx, err, fmt.Sprintf("launching %s (%s) in %s", r.InstanceType, r.Mode, r.AZ))
	}
	if len(out.Instances) != 1 {
		return Instance{}, Unavailable.New("launching %s in %s: EC2 answered with %d instances", r.InstanceType, r.AZ,
			len(out.Instances))
	}
	made := instanceFrom(r.Region, out.Instances[0])
	made.Lacks = p.complete(ctx, c, r, made.ID)
	return made, nil
}

// complete sets what RunInstances does not take. It sets a level, so a second run changes nothing. What
// cannot be set is returned in words: the instance is there all the same.
func (p *Provider) complete(ctx context.Context, c EC2API, r LaunchRequest, instanceID string) []string {
	if !r.NoSourceCheck {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	for {
		_, err := c.ModifyInstanceAttribute(call, &ec2.ModifyInstanceAttributeInput{InstanceId: aws.String(instanceID),
			SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)}}, disableRetries)
		if err == nil {
			return nil
		}
		wait := time.NewTimer(completePause)
		select {
		case <-wait.C:
		case <-call.Done():
			wait.Stop()
			return []string{"its source/destination check could not be turned off: it forwards no traffic of others"}
		}
	}
}

// completeWithin bounds what follows a launch, which may not cost the launch its answer. EC2
// may not show the instance at once, so it is tried again after a pause.
const (
	completeWithin = 3 * time.Second
	completePause  = 400 * time.Millisecond
)

// input is the request in EC2's words. A spot instance is asked for once and
// ends when it is interrupted: a persistent request would launch again behind our
// back. There is no maximum price, because one only adds a way to be interrupted.
func (r LaunchRequest) input() *ec2.RunInstancesInput {
	in := &ec2.RunInstancesInput{
		ClientToken: aws.String(r.ClientToken),
		MinCount:    aws.Int32(1), MaxCount: aws.Int32(1),
		InstanceType: types.InstanceType(r.InstanceType),
		ImageId:      aws.String(r.ImageID),
		KeyName:      optional(r.KeyName), SubnetId: optional(r.SubnetID), UserData: optional(r.UserData),
		SecurityGroupIds: r.SecurityGroupIDs,
		Placement:        &types.Placement{AvailabilityZone: aws.String(r.AZ)},
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
			HttpTokens:   types.HttpTokensStateRequired,
		},
	}
	if r.MetadataHops > 0 {
		in.MetadataOptions.HttpPutResponseHopLimit = aws.Int32(r.MetadataHops)
	}
	if r.EBSOptimized {
		in.EbsOptimized = aws.Bool(true)
	}
	if r.InstanceProfileARN != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String(r.InstanceProfileARN)}
	}
	tagged := []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume,
		types.ResourceTypeNetworkInterface}
	if r.Mode == agent.Spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{
			MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypeOneTime,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
			},
		}
		tagged = append(tagged, types.ResourceTypeSpotInstancesRequest)
	}
	r.fill(in)
	for _, kind := range tagged {
		in.TagSpecifications = append(in.TagSpecifications,
			types.TagSpecification{ResourceType: kind, Tags: toSDKTags(r.Tags)})
	}
	return in
}

// Differences lists what an instance lacks of what was asked for, in words: what
// must hold after a launch is asserted, not assumed.
func (r LaunchRequest) Differences(i Instance) []string {
	out := append(slices.Clone(r.Without), i.Lacks...)
	differ := func(what, want, have string) {
		if want != have {
			out = append(out, fmt.Sprintf("%s is %q, not %q", what, have, want))
		}
	}
	differ("instance type", r.InstanceType, i.InstanceType)
	differ("zone", r.AZ, i.AZ)
	differ("image", r.ImageID, i.ImageID)
	differ("mode", string(r.Mode), string(i.Mode))
	differ("instance profile", r.InstanceProfileARN, i.InstanceProfileARN)
	if required := r.Metadata == nil || r.Metadata.Tokens != "optional"; required && !i.TokensRequired {
		out = append(out, "the metadata service answers without a token")
	}
	for _, g := range r.SecurityGroupIDs {
		if !slices.Contains(i.SecurityGroupIDs, g) {
			out = append(out, "security group "+g+" is missing")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		if i.Tags[k] != r.Tags[k] {
			out = append(out, "tag "+k+" is missing")
		}
	}
	return out
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
