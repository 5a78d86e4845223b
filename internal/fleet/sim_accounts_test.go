package fleet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
)

// TestTenantsAreSeparate: each tenant's role is assumed with its own external id,
// once per session, and shows that tenant's instances only.
func TestTenantsAreSeparate(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{})
	tenant := fleet.Account{
		ClientID:   "c1",
		RoleARN:    "arn:aws:iam::111111111111:role/spotkeeper-c1",
		ExternalID: "secret-1",
	}
	require.NoError(t, c.control.AddRole(t.Context(), simclient.Role{ARN: tenant.RoleARN, ExternalID: tenant.ExternalID}))
	theirs, mine := c.primary(t, tenant), c.primary(t, own)

	found, err := c.Describe(t.Context(), tenant, region, []string{theirs.ID, mine.ID})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Contains(t, found, theirs.ID)
	for range 3 {
		_, err = c.Zones(t.Context(), tenant, region)
		require.NoError(t, err)
	}
	counts, err := c.control.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), counts.Calls["AssumeRole"], "one session serves all calls")

	confused := tenant
	confused.ClientID, confused.ExternalID = "c2", "secret-2"
	_, err = c.Describe(t.Context(), confused, region, []string{theirs.ID})
	require.Equal(t, replica.Refused, fault.CodeOf(err), "%v", err)
}

// TestSpotPricesOverPages reads the market as it is and as it was.
func TestSpotPricesOverPages(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{Seed: 3, PageSize: 5})
	collect := func(q fleet.SpotPriceQuery) []fleet.SpotPrice {
		var all []fleet.SpotPrice
		require.NoError(t, c.SpotPrices(t.Context(), own, region, q, func(page []fleet.SpotPrice) error {
			require.LessOrEqual(t, len(page), 5)
			all = append(all, page...)
			return nil
		}))
		return all
	}
	now := collect(fleet.SpotPriceQuery{InstanceTypes: []string{"m5.large"}})
	require.Len(t, now, 6, "one price per zone")
	for _, p := range now {
		require.Positive(t, p.Amount())
		require.Less(t, p.Amount(), 0.096*1.2)
	}
	since := time.Now().Add(-24 * time.Hour)
	past := collect(fleet.SpotPriceQuery{InstanceTypes: []string{"m5.large"}, Since: since})
	require.Greater(t, len(past), len(now))
	before := 0
	for i := range past[1:] {
		inWindow := past[i+1].At.After(since)
		require.False(t, inWindow && past[i+1].At.After(past[i].At), "newest first")
	}
	for _, p := range past {
		if p.At.Before(since) {
			before++
		}
	}
	require.LessOrEqual(t, before, 6, "at most one price per zone from before, the one in force then")
	quit := fault.Code("stop").New("enough")
	require.ErrorIs(t, c.SpotPrices(t.Context(), own, region,
		fleet.SpotPriceQuery{Since: since}, func([]fleet.SpotPrice) error { return quit }), quit)
}

// TestOnDemandPricesAreCached, and an old price is better than none.
func TestOnDemandPricesAreCached(t *testing.T) {
	t.Parallel()

	now := time.Now()
	c := simulate(t, ec2sim.Options{}, func(o *fleet.Options) { o.Now = func() time.Time { return now } })
	ask := func(instanceType string) float64 {
		price, err := c.OnDemandPrice(t.Context(), region, instanceType)
		require.NoError(t, err)
		require.Equal(t, "USD", price.Currency)
		return price.Amount
	}
	asked := func() int64 {
		counts, err := c.control.Counts(t.Context())
		require.NoError(t, err)
		return counts.Calls["GetProducts"]
	}
	require.InDelta(t, 0.096, ask("m5.large"), 1e-9)
	require.InDelta(t, 0.096, ask("m5.large"), 1e-9)
	require.Equal(t, int64(1), asked())
	now = now.Add(25 * time.Hour)
	require.InDelta(t, 0.096, ask("m5.large"), 1e-9)
	require.Equal(t, int64(2), asked(), "asked again after a day")

	now = now.Add(25 * time.Hour)
	require.NoError(t, c.control.AddFault(t.Context(), simclient.Fault{
		Action: "GetProducts",
		Code:   "AccessDeniedException",
		Times:  -1,
	}))
	require.InDelta(t, 0.096, ask("m5.large"), 1e-9)
	_, err := c.OnDemandPrice(t.Context(), region, "m5.xlarge")
	require.Equal(t, replica.Refused, fault.CodeOf(err), "%v", err)
	require.NoError(t, c.control.ClearFaults(t.Context()))

	for range 2 {
		_, err = c.OnDemandPrice(t.Context(), region, "z9.colossal")
		require.Equal(t, fleet.NoPrice, fault.CodeOf(err))
	}
}

// TestListPricesByProductAndPartition: a licence and a currency are in the price.
func TestListPricesByProductAndPartition(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{})
	for _, x := range []struct {
		region, product string
		want            fleet.ListPrice
	}{
		{region, "Linux/UNIX", fleet.ListPrice{Amount: 0.096, Currency: "USD"}},
		{region, "Windows", fleet.ListPrice{Amount: 0.096 + 2*0.046, Currency: "USD"}},
		{region, "Red Hat Enterprise Linux", fleet.ListPrice{Amount: 0.096 + 2*0.0144, Currency: "USD"}},
		{region, "SUSE Linux", fleet.ListPrice{Amount: 0.096 + 0.056, Currency: "USD"}},
		{"cn-north-1", "Linux/UNIX", fleet.ListPrice{Amount: 6.2 * 0.096, Currency: "CNY"}},
		{"us-gov-west-1", "Linux/UNIX", fleet.ListPrice{Amount: 1.25 * 0.096, Currency: "USD"}},
	} {
		got, err := c.ProductPrice(t.Context(), x.region, "m5.large", x.product)
		require.NoError(t, err, "%+v", x)
		require.InDelta(t, x.want.Amount, got.Amount, 1e-9, "%+v", x)
		require.Equal(t, x.want.Currency, got.Currency, "%+v", x)
	}
	_, err := c.ProductPrice(t.Context(), region, "m5.large", "Plan 9")
	require.Equal(t, fleet.NoPrice, fault.CodeOf(err))
	volume, err := c.VolumePrice(t.Context(), "cn-north-1", "gp3")
	require.NoError(t, err)
	require.InDelta(t, 6.2*0.08, volume.Amount, 1e-9)
	require.Equal(t, "CNY", volume.Currency)

	spot := func(product string) (out float64) {
		require.NoError(t, c.SpotPrices(t.Context(), own, region, fleet.SpotPriceQuery{
			InstanceTypes: []string{"m5.large"}, Product: product}, func(page []fleet.SpotPrice) error {
			for _, s := range page {
				if s.AZ == "us-east-1a" {
					out = s.Amount()
				}
			}
			return nil
		}))
		return out
	}
	require.InDelta(t, spot("")+2*0.046, spot("Windows"), 1e-3)
}

func TestPlaces(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{PageSize: 3})
	zones, err := c.Zones(t.Context(), own, region)
	require.NoError(t, err)
	require.Len(t, zones, 6)
	require.Equal(t, "us-east-1a", zones[0].Name)
	require.NotEmpty(t, zones[0].ID)
	offered, err := c.Offerings(t.Context(), own, region, "m5.*")
	require.NoError(t, err)
	require.Contains(t, offered, "m5.large")
	require.NotContains(t, offered, "c5.large")
	require.Contains(t, offered["m5.large"], "us-east-1a")
}

// TestRefusalsOfTheCloud takes each class from a cloud that is in that state, not
// from a stub.
func TestRefusalsOfTheCloud(t *testing.T) {
	t.Parallel()

	zero := 0
	for name, c := range map[string]struct {
		spoil func(*testing.T, *simclient.Client) error
		want  fault.Code
	}{
		"pool empty": {func(t *testing.T, s *simclient.Client) error {
			_, err := s.SetCapacity(t.Context(), simclient.Capacity{Pool: "m5.large.us-east-1b", Limit: 0})
			return err
		}, replica.NoCapacity},
		"quota": {func(t *testing.T, s *simclient.Client) error {
			return s.SetQuota(t.Context(), simclient.Quota{SpotInstances: &zero})
		}, replica.QuotaUsedUp},
		"throttle": {func(t *testing.T, s *simclient.Client) error {
			return s.SetThrottle(t.Context(), simclient.Throttle{Action: "RunInstances", Burst: 0})
		}, replica.Throttled},
		"permission": {func(t *testing.T, s *simclient.Client) error {
			return s.AddFault(t.Context(), simclient.Fault{Action: "RunInstances", Code: "UnauthorizedOperation"})
		}, replica.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t, ec2sim.Options{})
			template, err := sim.Template(t.Context(), own, region, sim.primary(t, own).ID)
			require.NoError(t, err)
			request, err := fleet.NewLaunchRequest(template, candidate("m5.large", "us-east-1b", agent.Spot), owner)
			require.NoError(t, err)
			require.NoError(t, c.spoil(t, sim.control))
			_, err = sim.Launch(t.Context(), own, request)
			require.Equal(t, c.want, fault.CodeOf(err), "%v", err)
			counts, err := sim.control.Counts(t.Context())
			require.NoError(t, err)
			require.Equal(t, int64(2), counts.Calls["RunInstances"], "asked once: the workflow decides what next")
		})
	}
}

// TestNoRoomInTheNetwork: a zone without a subnet of the primary's network is
// another subnet's case, not a launch into another person's network.
func TestNoRoomInTheNetwork(t *testing.T) {
	t.Parallel()

	template := fleet.Template{VPCID: "vpc-1", Subnets: map[string]fleet.SubnetList{"us-east-1a": {"subnet-1"}}}
	_, err := fleet.NewLaunchRequest(template, candidate("m5.large", "us-east-1b", agent.Spot), owner)
	require.Equal(t, replica.NoAddresses, fault.CodeOf(err))
}
