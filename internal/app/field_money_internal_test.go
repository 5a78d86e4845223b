package app

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
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
	require.NoError(t, (&postgres.Housekeeping{DB: f.DB}).ComputeSavings(t.Context(), f.account().ClientID, month, now))
	require.Equal(t, []string{"Windows true"}, f.list(`SELECT product || ' '
		|| (abs(baseline - primary_seconds / 3600 * 0.188) < 0.00001 AND primary_cost > primary_seconds / 3600 * 0.092)
		FROM savings_lines WHERE primary_seconds > 0`))
}
