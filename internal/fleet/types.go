package fleet

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/domain/replica"
)

// InstanceTypes lists EC2's facts about all instance types that a region offers.
func (p *Provider) InstanceTypes(ctx context.Context, a Account, region string) ([]replica.TypeFacts, error) {
	c, err := p.client(a, region)
	if err != nil {
		return nil, err
	}
	var out []replica.TypeFacts
	for token := (*string)(nil); ; {
		page, err := p.typePage(ctx, c, token)
		if err != nil {
			return nil, err
		}
		for _, t := range page.InstanceTypes {
			if f := typeFacts(t); f.VCPUs > 0 && f.MemoryMiB > 0 {
				out = append(out, f)
			}
		}
		if token = page.NextToken; aws.ToString(token) == "" {
			break
		}
	}
	slices.SortFunc(out, func(x, y replica.TypeFacts) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

func (p *Provider) typePage(ctx context.Context, c EC2API, token *string) (*ec2.DescribeInstanceTypesOutput, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{
		MaxResults: aws.Int32(100),
		NextToken:  token,
	})
	return out, classify(ctx, err, "listing the instance types")
}

func typeFacts(t types.InstanceTypeInfo) replica.TypeFacts {
	f := replica.TypeFacts{Name: string(t.InstanceType), Burstable: aws.ToBool(t.BurstablePerformanceSupported),
		Current: aws.ToBool(t.CurrentGeneration), BareMetal: aws.ToBool(t.BareMetal), Architectures: []string{}}
	if t.VCpuInfo != nil {
		f.VCPUs = int(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
	}
	if t.MemoryInfo != nil {
		f.MemoryMiB = int(aws.ToInt64(t.MemoryInfo.SizeInMiB))
	}
	if t.ProcessorInfo != nil {
		for _, a := range t.ProcessorInfo.SupportedArchitectures {
			f.Architectures = append(f.Architectures, string(a))
		}
	}
	if t.GpuInfo != nil {
		for _, g := range t.GpuInfo.Gpus {
			f.Accelerators += int(aws.ToInt32(g.Count))
		}
	}
	if t.NeuronInfo != nil {
		for _, n := range t.NeuronInfo.NeuronDevices {
			f.Accelerators += int(aws.ToInt32(n.Count))
		}
	}
	if t.InstanceStorageInfo != nil {
		f.LocalGB = int(aws.ToInt64(t.InstanceStorageInfo.TotalSizeInGB))
	}
	return f
}
