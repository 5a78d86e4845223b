package fleet

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/domain/agent"
)

// Product is what an instance runs if nothing else is known: prices differ by operating system.
const Product = "Linux/UNIX"

// SpotPriceQuery selects spot prices. Empty lists select everything.
type SpotPriceQuery struct {
	InstanceTypes []string
	// Product is what the instances run, in the words of EC2's product descriptions. Empty: Linux.
	Product string
	// Since is the start of the window. EC2 also gives, for each pool, the price
	// that was in force then. The zero time means the prices now.
	Since time.Time
	// Until is the end of the window; zero means now.
	Until time.Time
}

// SpotPrice is a price and since when it is in force.
type SpotPrice struct {
	InstanceType string
	AZ           string
	Price        string // for an hour in the currency of the partition, decimal as EC2 wrote it
	At           time.Time
}

// PoolID names the pool.
func (s SpotPrice) PoolID() string { return agent.PoolID(s.InstanceType, s.AZ) }

// Amount is the price as a number, 0 when EC2 wrote none.
func (s SpotPrice) Amount() float64 {
	f, err := strconv.ParseFloat(s.Price, 64)
	if err != nil {
		return 0
	}
	return f
}

// SpotPrices hands the prices of a region to each, page by page and newest first,
// so that 90 days of a region never have to fit into memory. An error of each
// ends it.
func (p *Provider) SpotPrices(
	ctx context.Context,
	a Account,
	region string,
	q SpotPriceQuery,
	each func([]SpotPrice) error,
) error {
	c, err := p.client(a, region)
	if err != nil {
		return err
	}
	in := &ec2.DescribeSpotPriceHistoryInput{
		ProductDescriptions: []string{cmp.Or(q.Product, Product)},
		MaxResults:          aws.Int32(page),
	}
	if now := p.opts.Now(); q.Since.IsZero() {
		in.StartTime = aws.Time(now)
	} else {
		in.StartTime = aws.Time(q.Since)
	}
	if !q.Until.IsZero() {
		in.EndTime = aws.Time(q.Until)
	}
	for _, t := range q.InstanceTypes {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(t))
	}
	for {
		prices, next, err := p.spotPage(ctx, c, in)
		if err != nil {
			return err
		}
		if len(prices) > 0 {
			if err := each(prices); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		in.NextToken = aws.String(next)
	}
}

func (p *Provider) spotPage(
	ctx context.Context,
	c EC2API,
	in *ec2.DescribeSpotPriceHistoryInput,
) ([]SpotPrice, string, error) {
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeSpotPriceHistory(ctx, in)
	if err != nil {
		return nil, "", classify(ctx, err, "reading spot prices")
	}
	prices := make([]SpotPrice, 0, len(out.SpotPriceHistory))
	for _, s := range out.SpotPriceHistory {
		prices = append(prices, SpotPrice{
			InstanceType: string(s.InstanceType), AZ: aws.ToString(s.AvailabilityZone),
			Price: aws.ToString(s.SpotPrice), At: aws.ToTime(s.Timestamp),
		})
	}
	return prices, aws.ToString(out.NextToken), nil
}
