package ec2sim_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
)

// history reads all pages of a query.
func (c *cloud) history(t *testing.T, in ec2.DescribeSpotPriceHistoryInput) (all []types.SpotPrice, pages int) {
	t.Helper()
	for p := ec2.NewDescribeSpotPriceHistoryPaginator(c.Client, &in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(t.Context())
		require.NoError(t, err)
		all = append(all, page.SpotPriceHistory...)
	}
	return all, pages
}

func price(t *testing.T, p types.SpotPrice) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(*p.SpotPrice, 64)
	require.NoError(t, err)
	return f
}

var m5InA = ec2.DescribeSpotPriceHistoryInput{
	InstanceTypes:       []types.InstanceType{"m5.large"},
	AvailabilityZone:    aws.String(zoneA),
	ProductDescriptions: []string{"Linux/UNIX"},
}

func TestNinetyDaysNewestFirstInPages(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Seed: 42})
	all, pages := c.history(t, m5InA)
	require.Greater(t, len(all), 1000)
	require.Equal(t, (len(all)+999)/1000, pages)
	low, high := 1.0, 0.0
	for n, p := range all {
		require.Equal(t, types.InstanceTypeM5Large, p.InstanceType)
		require.Equal(t, zoneA, *p.AvailabilityZone)
		require.Equal(t, types.RIProductDescription("Linux/UNIX"), p.ProductDescription)
		low, high = min(low, price(t, p)), max(high, price(t, p))
		if n > 0 {
			require.True(t, p.Timestamp.Before(*all[n-1].Timestamp))
			require.NotEqual(t, *p.SpotPrice, *all[n-1].SpotPrice, "only changes are listed")
		}
	}
	require.Less(t, high, 0.0961, "never above on-demand")
	require.Greater(t, low, 0.009)
	require.Greater(t, high/low, 1.2, "the price moves")
	oldest := *all[len(all)-1].Timestamp
	require.False(t, oldest.After(start.Add(-90*24*time.Hour)), "the last one was in force when the span began")
	require.True(t, oldest.After(start.Add(-100*24*time.Hour)))
}

func TestTheSameSeedIsTheSameMarket(t *testing.T) {
	t.Parallel()
	market := func(seed int64) []string {
		c := newCloud(t, ec2sim.Options{Seed: seed, PageSize: 7})
		in := ec2.DescribeSpotPriceHistoryInput{
			StartTime:     aws.Time(start.Add(-6 * time.Hour)),
			InstanceTypes: []types.InstanceType{"m5.large", "c5.large"},
		}
		all, _ := c.history(t, in)
		var lines []string
		for _, p := range all {
			lines = append(lines, fmt.Sprint(*p.AvailabilityZone, p.InstanceType, p.ProductDescription, *p.SpotPrice,
				*p.Timestamp))
		}
		return lines
	}
	first := market(1)
	require.Equal(t, first, market(1))
	require.NotEqual(t, first, market(2))
}

func TestPagesOfAnySizeAreTheSameHistory(t *testing.T) {
	t.Parallel()
	in := ec2.DescribeSpotPriceHistoryInput{
		StartTime:     aws.Time(start.Add(-12 * time.Hour)),
		InstanceTypes: []types.InstanceType{"m5.large"},
	}
	whole, _ := newCloud(t, ec2sim.Options{Seed: 3}).history(t, in)
	pieces, pages := newCloud(t, ec2sim.Options{Seed: 3, PageSize: 5}).history(t, in)
	require.Equal(t, len(whole)/5, pages-min(1, len(whole)%5))
	require.Len(t, pieces, len(whole))
	for n := range whole {
		require.Equal(t, *whole[n].SpotPrice, *pieces[n].SpotPrice)
		require.Equal(t, *whole[n].AvailabilityZone, *pieces[n].AvailabilityZone)
		require.True(t, n == 0 || !whole[n].Timestamp.After(*whole[n-1].Timestamp), "newest first over all lines")
	}
}

func TestPresentPriceFollowsTheVirtualClock(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Seed: 5})
	now := func() types.SpotPrice {
		in := m5InA
		clock, err := c.ctl.Clock(t.Context())
		require.NoError(t, err)
		in.StartTime, in.EndTime = aws.Time(clock.Now), aws.Time(clock.Now)
		all, _ := c.history(t, in)
		require.Len(t, all, 1, "one price is in force")
		return all[0]
	}
	seen := map[string]bool{}
	for range 24 {
		seen[*now().SpotPrice] = true
		c.advance(t, time.Hour)
	}
	require.Greater(t, len(seen), 5)

	require.NoError(t, c.ctl.SetPrice(t.Context(), poolA, 0.0123))
	require.InDelta(t, 0.0123, price(t, now()), 1e-9)
	c.advance(t, 24*time.Hour)
	require.InDelta(t, 0.0123, price(t, now()), 1e-9, "fixed until it is freed")
	require.NoError(t, c.ctl.SetPrice(t.Context(), poolA, 0))
	require.NotEqual(t, 0.0123, price(t, now()))
}

func TestProductsAndZones(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	all, _ := c.history(t, ec2.DescribeSpotPriceHistoryInput{
		StartTime:     aws.Time(start),
		EndTime:       aws.Time(start),
		InstanceTypes: []types.InstanceType{"m5.large"},
	})
	require.Len(t, all, 24, "six zones, four products")
	byLine := map[string]float64{}
	for _, p := range all {
		byLine[*p.AvailabilityZone+string(p.ProductDescription)] = price(t, p)
	}
	require.InDelta(t, byLine[zoneA+"Linux/UNIX"]+0.092, byLine[zoneA+"Windows"], 1e-9)
	vpc, _ := c.history(t, ec2.DescribeSpotPriceHistoryInput{
		StartTime: aws.Time(start), EndTime: aws.Time(start), ProductDescriptions: []string{"Linux/UNIX (Amazon VPC)"},
		Filters: []types.Filter{filter("availability-zone", zoneA, zoneB), filter("instance-type", "c5.*")},
	})
	require.Len(t, vpc, 8)
	_, err := c.DescribeSpotPriceHistory(t.Context(),
		&ec2.DescribeSpotPriceHistoryInput{AvailabilityZone: aws.String("nowhere")})
	refused(t, err, "InvalidParameterValue", http.StatusBadRequest)
	_, err = c.DescribeSpotPriceHistory(t.Context(), &ec2.DescribeSpotPriceHistoryInput{NextToken: aws.String("x")})
	refused(t, err, "InvalidPaginationToken", http.StatusBadRequest)
}
