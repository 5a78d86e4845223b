package replica_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// market is a primary in t3.medium.us-east-1a and what is known around it.
func market(kind replica.Kind) replica.ChoiceFacts {
	return replica.ChoiceFacts{
		Kind:    kind,
		Primary: replica.Origin{InstanceType: "t3.medium", Region: "us-east-1", AZ: "us-east-1a"},
		Pools: []replica.PoolFacts{
			{InstanceType: "t3.medium", AZ: "us-east-1a", Price: 0.010, Interruptions: 0},
			{InstanceType: "t3.medium", AZ: "us-east-1b", Price: 0.012, Interruptions: 4},
			{InstanceType: "t3.medium", AZ: "us-east-1c", Price: 0.015, Interruptions: 1},
			{InstanceType: "t3.medium", AZ: "us-east-1d", Price: 0, Interruptions: 1},
			{InstanceType: "t3.large", AZ: "us-east-1b", Price: 0.024},
			{InstanceType: "t3.2xlarge", AZ: "us-east-1b", Price: 0.090},
			{InstanceType: "t3.small", AZ: "us-east-1b", Price: 0.005},
			{InstanceType: "m5.large", AZ: "us-east-1b", Price: 0.030},
		},
		OnDemand: map[string]float64{"t3.medium": 0.0416, "t3.large": 0.0832},
	}
}

func keys(cs []replica.Candidate) []string {
	out := []string{}
	for _, c := range cs {
		out = append(out, c.Key())
	}
	return out
}

func TestChooseOrder(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		kind  replica.Kind
		plan  replica.Plan
		facts func(*replica.ChoiceFacts)
		want  []string // the beginning of the list
	}{
		{"a standby: the quietest, then the cheapest, not the primary's", replica.Manual, replica.Plan{}, nil,
			[]string{"spot/t3.medium.us-east-1c", "spot/t3.medium.us-east-1d", "spot/t3.medium.us-east-1b",
				"spot/t3.large.us-east-1b",
				"spot/t3.medium.us-east-1a", "ondemand/t3.medium.us-east-1b"}},
		{"an emergency: the quietest, then the cheapest, the troubled pool last", replica.Termination, replica.Plan{},
			nil,
			[]string{"spot/t3.medium.us-east-1c", "spot/t3.medium.us-east-1d", "spot/t3.medium.us-east-1b",
				"ondemand/t3.medium.us-east-1b", "ondemand/t3.medium.us-east-1c", "ondemand/t3.medium.us-east-1d",
				"ondemand/t3.medium.us-east-1a",
				"spot/t3.medium.us-east-1a", "spot/t3.large.us-east-1b"}},
		{"a rebalance is an emergency", replica.Rebalance, replica.Plan{}, nil, []string{"spot/t3.medium.us-east-1c"}},
		{"a standby that was asked for somewhere goes there first", replica.Manual,
			replica.Plan{Pool: "t3.medium.us-east-1c"}, nil,
			[]string{"spot/t3.medium.us-east-1c", "spot/t3.medium.us-east-1d"}},
		{"asked for in the primary's own pool, it is a wish", replica.Manual,
			replica.Plan{Pool: "t3.medium.us-east-1a"}, nil,
			[]string{"spot/t3.medium.us-east-1a", "spot/t3.medium.us-east-1c"}},
		{"interruptions count by the instance-hours that were seen", replica.Manual, replica.Plan{},
			func(f *replica.ChoiceFacts) { f.Pools[1].Hours = 20_000 },
			[]string{"spot/t3.medium.us-east-1b", "spot/t3.medium.us-east-1c"}},
		{"a placement score weighs like interruptions", replica.Manual, replica.Plan{},
			func(f *replica.ChoiceFacts) { f.Pools[2].Score = 2 },
			[]string{"spot/t3.medium.us-east-1d", "spot/t3.medium.us-east-1b", "spot/t3.medium.us-east-1c"}},
		{"a high score changes nothing", replica.Manual, replica.Plan{},
			func(f *replica.ChoiceFacts) { f.Pools[2].Score = 9 }, []string{"spot/t3.medium.us-east-1c"}},
		{"a standby passes a resting pool over", replica.Manual, replica.Plan{},
			func(f *replica.ChoiceFacts) { f.Resting = []string{"spot/t3.medium.us-east-1c"} },
			[]string{"spot/t3.medium.us-east-1d"}},
		{"a standby tries the pools that failed lately after other spot", replica.Manual, replica.Plan{},
			func(f *replica.ChoiceFacts) {
				f.Failed = []string{"spot/t3.medium.us-east-1c", "ondemand/t3.medium.us-east-1b"}
			},
			[]string{"spot/t3.medium.us-east-1d", "spot/t3.medium.us-east-1b", "spot/t3.large.us-east-1b", "spot/t3.medium.us-east-1a",
				"spot/t3.medium.us-east-1c", "ondemand/t3.medium.us-east-1c"}},
		{"excluded zones are never tried", replica.Termination,
			replica.Plan{ExcludeZones: []string{"us-east-1c", "us-east-1d", "us-east-1a"}}, nil,
			[]string{"spot/t3.medium.us-east-1b", "ondemand/t3.medium.us-east-1b", "spot/t3.large.us-east-1b"}},
		{"a cap shuts the dear and the unknown out", replica.Manual, replica.Plan{MaxHourlyCost: 0.0125}, nil,
			[]string{"spot/t3.medium.us-east-1b", "spot/t3.medium.us-east-1a"}},
		{"nothing is known but the primary", replica.Termination, replica.Plan{},
			func(f *replica.ChoiceFacts) { f.Pools, f.OnDemand = nil, nil },
			[]string{"ondemand/t3.medium.us-east-1a", "spot/t3.medium.us-east-1a", "ondemand/t3.large.us-east-1a"}},
		{"spot as dear as on-demand comes after it in an emergency", replica.Termination, replica.Plan{}, dearSpot,
			[]string{"spot/t3.medium.us-east-1d", "spot/t3.medium.us-east-1b", "ondemand/t3.medium.us-east-1b",
				"ondemand/t3.medium.us-east-1c",
				"ondemand/t3.medium.us-east-1d", "ondemand/t3.medium.us-east-1a", "spot/t3.medium.us-east-1a",
				"spot/t3.medium.us-east-1c"}},
		{"a wish for on-demand skips the spot pools", replica.Termination, replica.Plan{Mode: agent.OnDemand}, nil,
			[]string{"ondemand/t3.medium.us-east-1b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := market(tt.kind)
			if tt.facts != nil {
				tt.facts(&f)
			}
			got := keys(replica.Choose(tt.plan, f))
			require.GreaterOrEqual(t, len(got), len(tt.want), "%v", got)
			require.Equal(t, tt.want, got[:len(tt.want)])
		})
	}
}

// dearSpot makes one pool cost as much as on-demand.
func dearSpot(f *replica.ChoiceFacts) {
	for i := range f.Pools {
		if f.Pools[i].InstanceType == "t3.medium" && f.Pools[i].AZ == "us-east-1c" {
			f.Pools[i].Price = f.OnDemand["t3.medium"]
		}
	}
}

// TestAnEmergencyTriesWhatFailedLatelyLast, and only what rests after it.
func TestAnEmergencyTriesWhatFailedLatelyLast(t *testing.T) {
	t.Parallel()

	f := market(replica.Termination)
	f.Failed = []string{"spot/t3.medium.us-east-1c", "spot/t3.medium.us-east-1d"}
	f.Resting = []string{"spot/t3.medium.us-east-1b", "spot/t3.medium.us-east-1d"}
	got := keys(replica.Choose(replica.Plan{}, f))
	require.Equal(t, []string{"spot/t3.medium.us-east-1c", "spot/t3.medium.us-east-1d", "spot/t3.medium.us-east-1b"}, got[len(got)-3:])
}

// TestDearSpotIsNoStandbyAndNoSwitch (K9): spot at the price of on-demand saves nothing.
func TestDearSpotIsNoStandbyAndNoSwitch(t *testing.T) {
	t.Parallel()

	const dear = "spot/t3.medium.us-east-1c"
	for _, kind := range []replica.Kind{replica.Manual, replica.Switch} {
		for _, pool := range []string{"", "t3.medium.us-east-1c"} {
			f := market(kind)
			plan := replica.Plan{Mode: agent.Spot, Pool: pool}
			require.Contains(t, keys(replica.Choose(plan, f)), dear)
			dearSpot(&f)
			require.NotContains(t, keys(replica.Choose(plan, f)), dear, "%s %q", kind, pool)
		}
	}
}

func TestChooseForASwitch(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		plan replica.Plan
		want []string
	}{
		{"one pool, nothing else", replica.Plan{
			Mode: agent.Spot,
			Pool: "t3.medium.us-east-1c",
		}, []string{"spot/t3.medium.us-east-1c"}},
		{"a pool nobody knows yet", replica.Plan{
			Mode: agent.Spot,
			Pool: "c5.large.us-east-1f",
		}, []string{"spot/c5.large.us-east-1f"}},
		{"another type in that place", replica.Plan{
			Mode:         agent.Spot,
			Pool:         "t3.medium.us-east-1b",
			InstanceType: "t3.large",
		}, []string{"spot/t3.large.us-east-1b"}},
		{"spot anywhere: the cheapest", replica.Plan{Mode: agent.Spot},
			[]string{"spot/t3.medium.us-east-1a", "spot/t3.medium.us-east-1b", "spot/t3.medium.us-east-1c",
				"spot/t3.medium.us-east-1d"}},
		{"on-demand in one place", replica.Plan{
			Mode: agent.OnDemand,
			Pool: "t3.medium.us-east-1c",
		}, []string{"ondemand/t3.medium.us-east-1c"}},
		{"on-demand: here first", replica.Plan{Mode: agent.OnDemand},
			[]string{"ondemand/t3.medium.us-east-1a", "ondemand/t3.medium.us-east-1b",
				"ondemand/t3.medium.us-east-1c", "ondemand/t3.medium.us-east-1d"}},
		{"too dear", replica.Plan{Mode: agent.Spot, Pool: "t3.medium.us-east-1c", MaxHourlyCost: 0.01}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, keys(replica.Choose(tt.plan, market(replica.Switch))))
		})
	}
}

func TestAnEmergencyTriesRestingPoolsLastAndNotNever(t *testing.T) {
	t.Parallel()

	f := market(replica.Termination)
	f.Resting = []string{"spot/t3.medium.us-east-1c"}
	got := keys(replica.Choose(replica.Plan{}, f))
	require.Equal(t, "spot/t3.medium.us-east-1c", got[len(got)-1])
	require.NotContains(t, keys(replica.Choose(replica.Plan{},
		func() replica.ChoiceFacts { f.Kind = replica.Manual; return f }())), "spot/t3.medium.us-east-1c")
}

// TestChooseHolds checks what holds for every choice whatsoever.
func TestChooseHolds(t *testing.T) {
	t.Parallel()

	types := []string{"t3.medium", "t3.large", "t3.xlarge", "m5.large"}
	zones := []string{"us-east-1a", "us-east-1b", "us-east-1c"}
	rapid.Check(t, func(t *rapid.T) {
		f := market(rapid.SampledFrom([]replica.Kind{replica.Manual, replica.Rebalance, replica.Termination,
			replica.Switch}).Draw(t, "kind"))
		f.Pools = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) replica.PoolFacts {
			return replica.PoolFacts{
				InstanceType:  rapid.SampledFrom(types).Draw(t, "type"),
				AZ:            rapid.SampledFrom(zones).Draw(t, "az"),
				Price:         rapid.SampledFrom([]float64{0, 0.01, 0.02, 0.05}).Draw(t, "price"),
				Interruptions: rapid.IntRange(0, 3).Draw(t, "interruptions"),
			}
		}), 0, 12).Draw(t, "pools")
		for _, p := range f.Pools {
			if rapid.Bool().Draw(t, "rests") {
				f.Resting = append(f.Resting, "spot/"+agent.PoolID(p.InstanceType, p.AZ))
			}
		}
		plan := replica.Plan{
			Mode: rapid.SampledFrom([]agent.Mode{"", agent.Spot, agent.OnDemand}).Draw(t, "mode"),
			Pool: rapid.SampledFrom([]string{"", "t3.medium.us-east-1b", "m5.large.us-east-1c", "rubbish"}).
				Draw(t, "pool"),
			ExcludeZones:  rapid.SliceOfDistinct(rapid.SampledFrom(zones), rapid.ID).Draw(t, "excluded"),
			MaxHourlyCost: rapid.SampledFrom([]float64{0, 0.015, 0.06}).Draw(t, "cap"),
		}
		got := replica.Choose(plan, f)
		seen := map[string]bool{}
		for _, c := range got {
			require.False(t, seen[c.Key()], "%s twice", c.Key())
			seen[c.Key()] = true
			require.NotContains(t, plan.ExcludeZones, c.AZ)
			require.Equal(t, c.PoolID, agent.PoolID(c.InstanceType, c.AZ))
			require.NotEmpty(t, c.Region)
			require.True(t, c.Mode == agent.Spot || c.Mode == agent.OnDemand)
			if plan.MaxHourlyCost > 0 {
				require.True(t, c.HourlyPrice > 0 && c.HourlyPrice <= plan.MaxHourlyCost)
			}
			if !f.Kind.Emergency() {
				require.NotContains(t, f.Resting, c.Key())
			}
		}
		require.Equal(t, got, replica.Choose(plan, f), "the choice does not waver")
		if plan.Mode == agent.OnDemand {
			require.False(t, slices.ContainsFunc(got, func(c replica.Candidate) bool {
				return c.Mode == agent.Spot &&
					c.PoolID != plan.Pool
			}))
		}
	})
}
