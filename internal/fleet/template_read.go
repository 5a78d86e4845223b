package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// sources asks EC2 for what DescribeInstances does not show. An answer that cannot be had,
// for want of a permission or because EC2 throttles, is noted and not waited for: a
// template without it is better than none, and is read again.
func (p *Provider) sources(ctx context.Context, c EC2API, raw types.Instance) sources {
	s := sources{instance: raw, volumes: map[string]types.Volume{}}
	for _, read := range []struct {
		what string
		fn   func(context.Context) error
	}{
		{"the shutdown behaviour: allow ec2:DescribeInstanceAttribute",
			func(ctx context.Context) error { return readAttributes(ctx, c, raw, &s) }},
		{"the volumes: allow ec2:DescribeVolumes",
			func(ctx context.Context) error { return readVolumes(ctx, c, raw, &s) }},
		{"the image: allow ec2:DescribeImages", func(ctx context.Context) error { return readImage(ctx, c, raw, &s) }},
		{"the CPU credits: allow ec2:DescribeInstanceCreditSpecifications",
			func(ctx context.Context) error { return readCredits(ctx, c, raw, &s) }},
		{"the spot request: allow ec2:DescribeSpotInstanceRequests",
			func(ctx context.Context) error { return readSpotRequest(ctx, c, raw, &s) }},
	} {
		call, cancel := p.read(ctx)
		if read.fn(call) != nil {
			s.unread = append(s.unread, read.what)
		}
		cancel()
	}
	return s
}

// readAttributes reads one attribute per call, as EC2 requires.
func readAttributes(ctx context.Context, c EC2API, raw types.Instance, s *sources) error {
	for _, name := range []types.InstanceAttributeName{
		types.InstanceAttributeNameInstanceInitiatedShutdownBehavior,
		types.InstanceAttributeNameDisableApiTermination, types.InstanceAttributeNameDisableApiStop,
	} {
		out, err := c.DescribeInstanceAttribute(ctx,
			&ec2.DescribeInstanceAttributeInput{InstanceId: raw.InstanceId, Attribute: name})
		if err != nil {
			return err
		}
		switch name {
		case types.InstanceAttributeNameInstanceInitiatedShutdownBehavior:
			s.attributes.InstanceInitiatedShutdownBehavior = out.InstanceInitiatedShutdownBehavior
		case types.InstanceAttributeNameDisableApiTermination:
			s.attributes.DisableApiTermination = out.DisableApiTermination
		default:
			s.attributes.DisableApiStop = out.DisableApiStop
		}
	}
	return nil
}

func readVolumes(ctx context.Context, c EC2API, raw types.Instance, s *sources) error {
	if len(raw.BlockDeviceMappings) == 0 {
		return nil
	}
	out, err := c.DescribeVolumes(ctx,
		&ec2.DescribeVolumesInput{Filters: []types.Filter{
			newFilter("attachment.instance-id", aws.ToString(raw.InstanceId))}})
	if err != nil {
		return err
	}
	for _, v := range out.Volumes {
		s.volumes[aws.ToString(v.VolumeId)] = v
	}
	return nil
}

// readImage reads the volumes of the image. A deregistered image has none; the preflight
// reports it.
func readImage(ctx context.Context, c EC2API, raw types.Instance, s *sources) error {
	out, err := c.DescribeImages(ctx,
		&ec2.DescribeImagesInput{Filters: []types.Filter{newFilter("image-id", aws.ToString(raw.ImageId))}})
	if err != nil {
		return err
	}
	if len(out.Images) > 0 {
		s.image = &out.Images[0]
	}
	return nil
}

func readCredits(ctx context.Context, c EC2API, raw types.Instance, s *sources) error {
	if !burstable.MatchString(string(raw.InstanceType)) {
		return nil
	}
	out, err := c.DescribeInstanceCreditSpecifications(ctx, &ec2.DescribeInstanceCreditSpecificationsInput{
		InstanceIds: []string{aws.ToString(raw.InstanceId)}})
	if err != nil {
		return err
	}
	for _, spec := range out.InstanceCreditSpecifications {
		s.credits = aws.ToString(spec.CpuCredits)
	}
	return nil
}

func readSpotRequest(ctx context.Context, c EC2API, raw types.Instance, s *sources) error {
	if aws.ToString(raw.SpotInstanceRequestId) == "" {
		return nil
	}
	out, err := c.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{
		Filters: []types.Filter{newFilter("spot-instance-request-id", *raw.SpotInstanceRequestId)}})
	if err != nil {
		return err
	}
	if len(out.SpotInstanceRequests) > 0 {
		s.spot = &out.SpotInstanceRequests[0]
	}
	return nil
}
