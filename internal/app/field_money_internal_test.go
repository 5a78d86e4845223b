package app

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/housekeeping"
)

// TestMoneyFollowsTheProduct (K12): a Windows instance is priced as Windows, from EC2's
// description of it to the ledger, and its standby's volumes by the price list.
func TestMoneyFollowsTheProduct(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) {
		in.ImageId = aws.String(simclient.ProductImage("us-east-1", "Windows"))
	}))
	require.Equal(t, []string{`Windows {"gp3": 30}`},
		f.list(`SELECT product || ' ' || volumes::text FROM instances WHERE id = $1`, m.at))
	f.collect()
	require.Equal(t, []string{"0.188000 USD"},
		f.list(`SELECT price || ' ' || currency FROM product_prices WHERE instance_type = 'm5.large'`))
	require.Equal(t, []string{"0.080000"}, f.list(`SELECT gb_month::text FROM volume_prices WHERE kind = 'gp3'`))
	require.Equal(t, []string{"true"}, f.list(`SELECT (min(s.price) > 0.092)::text FROM product_spot_prices s`),
		"the licence is in every spot price")

	now := time.Now().UTC()
	_, err := f.DB.Pool.Exec(t.Context(),
		`UPDATE instances SET installed_at = $2, primary_since = $2 WHERE id = $1`, m.at, now.Add(-2*time.Hour))
	require.NoError(t, err)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	require.NoError(t, (&housekeeping.Housekeeping{DB: f.DB}).ComputeSavings(t.Context(), f.account().ClientID, month, now))
	require.Equal(t, []string{"Windows true"}, f.list(`SELECT product || ' '
		|| (abs(baseline - primary_seconds / 3600 * 0.188) < 0.00001 AND primary_cost > primary_seconds / 3600 * 0.092)
		FROM savings_lines WHERE primary_seconds > 0`))
}

// TestChoiceFollowsTheProduct (K12): where a Windows instance goes is chosen and decided by the
// prices of Windows, spot and on-demand, also of the types that can replace its own. Linux at
// 0.0325 USD would look like a saving of two thirds; the licence makes it a third.
func TestChoiceFollowsTheProduct(t *testing.T) {
	t.Parallel()

	const licence = 0.092
	f := newField(t, ec2sim.Options{})
	linux := f.join("linux", f.machine())
	m := f.join("windows", f.machine(func(in *ec2.RunInstancesInput) {
		in.ImageId = aws.String(simclient.ProductImage("us-east-1", "Windows"))
	}))
	f.collect()
	opened, err := (&postgres.Roles{DB: f.DB}).OpenReplica(t.Context(), roles.ReplicaRequest{
		AgentID:   m.id,
		Kind:      replica.Termination,
		For:       m.at,
		CreatedBy: "system",
		Reason:    "a notice",
		Plan:      replica.Plan{Mode: "spot"},
	})
	require.NoError(t, err)
	plan, facts, err := (&postgres.Launches{DB: f.DB}).Choice(t.Context(), m.id, opened.Replica.ID)
	require.NoError(t, err)
	require.InDelta(t, 0.188, facts.OnDemand[fieldType], 1e-9)
	types := map[string]bool{}
	for _, c := range replica.Choose(plan, facts) {
		require.Greater(t, c.HourlyPrice, licence, c.Key())
		types[c.InstanceType] = true
	}
	require.Greater(t, len(types), 3, "other types are priced as well: %v", types)

	store := &decisions.Decisions{DB: f.DB}
	one, err := store.Input(t.Context(), "", m.id)
	require.NoError(t, err)
	require.InDelta(t, 0.188, one.OnDemand.USD, 1e-9)
	require.NotEmpty(t, one.Pools)
	many, err := store.Inputs(t.Context(), []string{linux.id, m.id})
	require.NoError(t, err)
	for n, p := range one.Pools {
		require.Greater(t, p.Price.USD, licence, p.ID)
		require.NotEmpty(t, p.History, p.ID)
		require.Greater(t, p.History[0].USD, licence, p.ID)
		require.Equal(t, p.Price, many[1].Pools[n].Price, p.ID)
		require.Less(t, many[0].Pools[n].Price.USD, licence, "Linux beside it keeps its own price")
	}
	require.InDelta(t, 0.096, many[0].OnDemand.USD, 1e-9)

	var page struct {
		Agents []struct {
			Name    string
			Primary struct {
				Price    float64
				OnDemand float64 `json:"on_demand_price"`
			}
		}
	}
	f.call("GET", "/api/fleet", nil, &page)
	require.Len(t, page.Agents, 2)
	for _, a := range page.Agents {
		require.Equal(t, a.Name == "windows", a.Primary.Price > licence, "%s: %v", a.Name, a.Primary.Price)
		require.Equal(t, a.Name == "windows", a.Primary.OnDemand > 0.1, "%s: %v", a.Name, a.Primary.OnDemand)
	}
}
