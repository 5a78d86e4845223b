package app

import (
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/testkit/postgrestest"
)

// collected is the collection of prices from a simulator into a real database, for
// an agent that runs on m5.large.
type collected struct {
	t       *testing.T
	db      *pg.DB
	prices  *activities.Prices
	control *simclient.Client
}

// newCollected plays by a clock.
func newCollected(t *testing.T, backfill time.Duration, now func() time.Time) *collected {
	t.Helper()
	sim := ec2sim.New(ec2sim.Options{Seed: 7, PageSize: 50, Now: now})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	provider, err := fleet.New(t.Context(), fleet.Options{
		Endpoint:        server.URL,
		STSEndpoint:     server.URL,
		PricingEndpoint: server.URL,
		Credentials:     fleet.StaticCredentials("test", "test"),
		Now:             now,
	})
	require.NoError(t, err)
	c := &collected{t: t, db: postgrestest.Open(t), control: simclient.NewClient(server.URL, server.Client())}
	c.prices = &activities.Prices{
		Store:    &prices.Prices{DB: c.db},
		Market:   newEC2Market(provider),
		Log:      slog.New(slog.DiscardHandler),
		Backfill: backfill,
		Now:      now,
	}
	c.exec(
		`INSERT INTO clients (id, name, email, token_hash, token_sealed) VALUES ('k', 'Acme', 'k@x', '\x01', '\x01')`,
	)
	c.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a', 'k', 'a')`)
	c.lives("i-1", "primary", "m5.large")
	return c
}

func (c *collected) exec(sql string, args ...any) {
	c.t.Helper()
	_, err := c.db.Pool.Exec(c.t.Context(), sql, args...)
	require.NoError(c.t, err)
}

func (c *collected) count(sql string, args ...any) (n int64) {
	c.t.Helper()
	require.NoError(c.t, c.db.Pool.QueryRow(c.t.Context(), sql, args...).Scan(&n))
	return n
}

// lives has an instance of the agent live on a type.
func (c *collected) lives(id, role, instanceType string) {
	c.t.Helper()
	c.exec(
		`
			INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, proof)
			VALUES ($1, 'k', 'a', $2, $3, 'us-east-1', 'us-east-1a', $3 || '.us-east-1a', 'launched')`,
		id,
		role,
		instanceType,
	)
}

// TestPricesAreKnownBeforeAnAgentLivesThere collects from the simulator into a
// real database: the type in use with its history, its family with the present,
// and nothing twice; one that EC2 refuses does not lose the others.
func TestPricesAreKnownBeforeAnAgentLivesThere(t *testing.T) {
	t.Parallel()

	c := newCollected(t, 24*time.Hour, time.Now)
	prices, control, count := c.prices, c.control, c.count

	got, err := prices.CollectPrices(t.Context())
	require.NoError(t, err)
	const known = 12 // m5.large, its family of four sizes, and what could replace it
	require.Equal(t, int64(known), got.Types)
	require.Equal(t, int64(known), got.OnDemand)
	require.Zero(t, got.Failed)
	require.Equal(t, int64(known*6),
		count(`SELECT count(*) FROM pool_prices WHERE source_type = 'collector' AND price > 0`),
		"each type in six zones")
	require.Equal(t, got.Buckets, count(`SELECT count(*) FROM price_buckets`))
	require.InDelta(
		t,
		6*288,
		count(
			`
				SELECT count(*)
				FROM price_buckets b
				JOIN pools p ON p.id = b.pool_id
				WHERE p.instance_type = 'm5.large' AND b.ondemand_price = 0.096`,
		),
		12,
	)

	again, err := prices.CollectPrices(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, again.Buckets, int64(known*6), "nothing is read or written twice")

	// A sibling that an agent moves to gets its history then.
	const ofSibling = `
		SELECT count(*) FROM price_buckets b JOIN pools p ON p.id = b.pool_id WHERE p.instance_type = 'm5.xlarge'`
	require.Less(t, count(ofSibling), int64(6*16), "an hour of each zone, to choose by")
	c.lives("i-2", "replica", "m5.xlarge")
	for range 2 {
		_, err = prices.CollectPrices(t.Context())
		require.NoError(t, err)
		require.InDelta(t, 6*288, count(ofSibling), 12)
	}

	require.NoError(t, control.AddFault(t.Context(), simclient.Fault{
		Action: "DescribeSpotPriceHistory",
		Code:   "UnauthorizedOperation",
	}))
	got, err = prices.CollectPrices(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), got.Failed)
	require.NoError(t, control.AddFault(t.Context(), simclient.Fault{
		Action: "DescribeSpotPriceHistory",
		Code:   "UnauthorizedOperation",
		Times:  -1,
	}))
	_, err = prices.CollectPrices(t.Context())
	require.Error(t, err, "when nothing can be read the run has failed")
}

// TestAnAdoptionKnowsTheMarket: the pools of a type that is new to us are known by the time
// its first instance is adopted; that EC2 does not answer delays no adoption.
func TestAnAdoptionKnowsTheMarket(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]string{"answered": "6", "refused": "1"} { // its own pool is shown by the adoption
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newField(t, ec2sim.Options{})
			if name == "refused" {
				f.fault(simclient.Fault{Action: "DescribeSpotPriceHistory", Code: "UnauthorizedOperation", Times: -1})
			}
			on := f.machine()
			f.call("POST", "/api/agents/register", map[string]any{
				"client_token": f.token, "logical_agent_id": "web", "instance_id": *on.InstanceId,
				"instance_type": string(on.InstanceType), "region": "us-east-1",
				"az": *on.Placement.AvailabilityZone, "mode": "spot",
			}, nil)
			require.Equal(t, []string{"0"}, f.list(`SELECT count(*)::text FROM pools`), "an agent's word makes no pool")
			got, err := (&activities.Adoptions{
				Store: &agents.Adoptions{DB: f.DB},
				Fleet: ec2Fleet{Provider: f.Fleet},
				Log:   f.Log,
				Market: &activities.Prices{
					Store:  &prices.Prices{DB: f.DB},
					Market: newEC2Market(f.Fleet),
					Log:    f.Log,
				},
			}).AdoptInstance(t.Context(), activities.AdoptInput{InstanceID: *on.InstanceId})
			require.NoError(t, err)
			require.True(t, got.Proven)
			require.Equal(t, []string{want}, f.list(`SELECT count(*)::text FROM pools WHERE instance_type = $1`,
				string(on.InstanceType)))
		})
	}
}
