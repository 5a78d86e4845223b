package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// EC2API lists the EC2 calls in use, and nothing else. The policies of
// deploy/cloudformation allow them, which a test in deploy/checks evaluates.
type EC2API interface {
	CancelSpotInstanceRequests(
		ctx context.Context,
		in *ec2.CancelSpotInstanceRequestsInput,
		opts ...func(*ec2.Options),
	) (*ec2.CancelSpotInstanceRequestsOutput, error)
	CreateTags(ctx context.Context, in *ec2.CreateTagsInput, opts ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error)
	DescribeAvailabilityZones(
		ctx context.Context,
		in *ec2.DescribeAvailabilityZonesInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeAvailabilityZonesOutput, error)
	DescribeInstanceAttribute(
		ctx context.Context,
		in *ec2.DescribeInstanceAttributeInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeInstanceAttributeOutput, error)
	DescribeImages(
		ctx context.Context,
		in *ec2.DescribeImagesInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeImagesOutput, error)
	DescribeInstanceCreditSpecifications(
		ctx context.Context,
		in *ec2.DescribeInstanceCreditSpecificationsInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeInstanceCreditSpecificationsOutput, error)
	DescribeInstanceStatus(
		ctx context.Context,
		in *ec2.DescribeInstanceStatusInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeInstanceStatusOutput, error)
	DescribeInstanceTypeOfferings(
		ctx context.Context,
		in *ec2.DescribeInstanceTypeOfferingsInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeInstanceTypeOfferingsOutput, error)
	DescribeInstanceTypes(
		ctx context.Context,
		in *ec2.DescribeInstanceTypesInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeInstanceTypesOutput, error)
	DescribeInstances(
		ctx context.Context,
		in *ec2.DescribeInstancesInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeInstancesOutput, error)
	DescribeKeyPairs(
		ctx context.Context,
		in *ec2.DescribeKeyPairsInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeKeyPairsOutput, error)
	DescribeSecurityGroups(
		ctx context.Context,
		in *ec2.DescribeSecurityGroupsInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeSecurityGroupsOutput, error)
	DescribeSpotInstanceRequests(
		ctx context.Context,
		in *ec2.DescribeSpotInstanceRequestsInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeSpotInstanceRequestsOutput, error)
	DescribeSpotPriceHistory(
		ctx context.Context,
		in *ec2.DescribeSpotPriceHistoryInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeSpotPriceHistoryOutput, error)
	DescribeSubnets(
		ctx context.Context,
		in *ec2.DescribeSubnetsInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeSubnetsOutput, error)
	DescribeVolumes(
		ctx context.Context,
		in *ec2.DescribeVolumesInput,
		opts ...func(*ec2.Options),
	) (*ec2.DescribeVolumesOutput, error)
	GetSpotPlacementScores(
		ctx context.Context,
		in *ec2.GetSpotPlacementScoresInput,
		opts ...func(*ec2.Options),
	) (*ec2.GetSpotPlacementScoresOutput, error)
	ModifyInstanceAttribute(
		ctx context.Context,
		in *ec2.ModifyInstanceAttributeInput,
		opts ...func(*ec2.Options),
	) (*ec2.ModifyInstanceAttributeOutput, error)
	RunInstances(
		ctx context.Context,
		in *ec2.RunInstancesInput,
		opts ...func(*ec2.Options),
	) (*ec2.RunInstancesOutput, error)
	TerminateInstances(
		ctx context.Context,
		in *ec2.TerminateInstancesInput,
		opts ...func(*ec2.Options),
	) (*ec2.TerminateInstancesOutput, error)
}

// PriceListAPI lists the calls of the price list in use.
type PriceListAPI interface {
	GetProducts(
		ctx context.Context,
		in *pricing.GetProductsInput,
		opts ...func(*pricing.Options),
	) (*pricing.GetProductsOutput, error)
}

// RoleAPI lists the STS calls in use.
type RoleAPI interface {
	AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, opts ...func(*sts.Options)) (*sts.AssumeRoleOutput, error)
}

var (
	_ EC2API       = (*ec2.Client)(nil)
	_ PriceListAPI = (*pricing.Client)(nil)
	_ RoleAPI      = (*sts.Client)(nil)
)
