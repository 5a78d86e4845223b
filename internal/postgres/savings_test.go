package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/housekeeping"
)

// month is one that a ledger is computed of, for a client whose instances cost
// 0.04 USD per hour on demand.
type month struct {
	*guarded
	first time.Time
}

func newMonth(g *guarded, year int, m time.Month) *month {
	for _, table := range []string{"instances", "replicas", "role_changes", "price_buckets", "client_price_buckets",
		"client_savings",
		"on_demand_prices", "product_prices", "product_spot_prices", "volume_prices"} {
		g.exec(`DELETE FROM ` + table)
	}
	g.exec(`INSERT INTO on_demand_prices VALUES ('us-east-1', 't3.medium', 0.04, 'pricing-api', now())`)
	return &month{g, time.Date(year, m, 1, 0, 0, 0, 0, time.UTC)}
}

// at is some hours after the month began.
func (m *month) at(hours float64) time.Time {
	return m.first.Add(time.Duration(hours * float64(time.Hour)))
}

// runs has an instance of the agent run from an hour to another; 0: it still does.
func (m *month) runs(id, role, zone, mode string, from, until float64) {
	m.t.Helper()
	m.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, installed_at,
			terminated_at)
		VALUES ($1, 'k1', 'a1', $2, 't3.medium', 'us-east-1', 'us-east-1' || $3, 't3.medium.us-east-1' || $3, $4, $5,
			$6)`,
		id,
		role,
		zone,
		mode,
		m.at(from),
		nullTime(m.at(until), until),
	)
}

func nullTime(t time.Time, n float64) *time.Time {
	if n == 0 {
		return nil
	}
	return &t
}

// costs has a zone's five minutes cost so much from an hour to another.
func (m *month) costs(zone string, dollars, from, until float64) {
	m.t.Helper()
	m.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, confidence, observed_at)
		SELECT 't3.medium.us-east-1' || $1, t, $2, 'collector', 1, t
		FROM generate_series($3::timestamptz, $4::timestamptz - interval '1 second', interval '5 minutes') t`,
		zone, dollars, m.at(from), m.at(until))
}

// measured has a client report that of its own pool.
func (m *month) measured(client, zone string, dollars, from, until float64) {
	m.t.Helper()
	m.exec(`INSERT INTO client_price_buckets (client_id, pool_id, bucket, price, source_type, confidence, submission_id,
			observed_at, low, high)
		SELECT $5, 't3.medium.us-east-1' || $1, t, $2, 'primary', 1, 's', t, $2, $2
		FROM generate_series($3::timestamptz, $4::timestamptz - interval '1 second', interval '5 minutes') t`,
		zone, dollars, m.at(from), m.at(until), client)
}

// sells has all instances run a product, with its list price.
func (m *month) sells(product string, price float64, currency string) {
	m.t.Helper()
	m.exec(`UPDATE instances SET product = $1`, product)
	m.exec(`INSERT INTO product_prices VALUES ('us-east-1', 't3.medium', $1, $2, $3, now())`, product, price, currency)
}

func (m *month) moves(epoch int, from, to string, at float64) {
	m.t.Helper()
	m.exec(
		`
			INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause, changed_at)
			VALUES ('k1', 'a1', $1, $2, $3, $4, 'switch', $5)`,
		epoch,
		from,
		to,
		to,
		m.at(at),
	)
}

// TestLedgerByHand: what was saved is seconds times the difference between the
// reference and the price in force, minus what ran beside.
func TestLedgerByHand(t *testing.T) {
	t.Parallel()
	g := guard(t)
	for name, c := range map[string]struct {
		year             int
		month            time.Month
		have             func(m *month)
		hours            float64 // until which it is computed; 0: the month is over
		baseline, actual float64
	}{
		"thirty days on demand save nothing": {2026, time.November,
			func(m *month) { m.runs("i", "primary", "a", "ondemand", -1, 0) }, 0, 720 * 0.04, 720 * 0.04},
		"thirty days on spot": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "spot", -1, 0)
			m.costs("a", 0.01, -1, 721)
		}, 0, 720 * 0.04, 720 * 0.01},
		"thirty-one days, and the clocks go forward in the sessions' zone": {2027, time.March, func(m *month) {
			m.runs("i", "primary", "a", "spot", -1, 0)
			m.costs("a", 0.01, -1, 745)
		}, 0, 744 * 0.04, 744 * 0.01},
		"twenty-nine days": {2028, time.February, func(m *month) {
			m.runs("i", "primary", "a", "spot", -1, 0)
			m.costs("a", 0.01, -1, 697)
		}, 0, 696 * 0.04, 696 * 0.01},
		"the clocks go back while the price moves": {2026, time.November, func(m *month) { // at 04:30 UTC of the first
			m.runs("i", "retired", "a", "spot", 0, 6)
			m.costs("a", 0.01, 0, 4)
			m.costs("a", 0.02, 4, 5)
			m.costs("a", 0.03, 5, 6)
		}, 6, 6 * 0.04, 4*0.01 + 1*0.02 + 1*0.03},
		"by the price in force and not by the hour's": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "spot", 10.5, 10.75)
			m.costs("a", 0.01, 10, 10.5)
			m.costs("a", 0.03, 10.5, 11)
		}, 20, 0.25 * 0.04, 0.25 * 0.03},
		"to the second": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "spot", 10, 10+100.0/3600)
			m.costs("a", 0.018, 9, 12)
		}, 20, 100.0 / 3600 * 0.04, 100.0 / 3600 * 0.018},
		"what the client has measured goes before EC2's history": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "spot", 0, 10.5)
			m.costs("a", 0.01, 0, 20)
			m.measured("k1", "a", 0.015, 4, 5)
			m.measured("k1", "a", 0.02, 10, 10.25)
			m.measured("k2", "a", 0.5, 0, 20) // another client's
		}, 20, 10.5 * 0.04, 9.25*0.01 + 0.015 + 0.25*0.02},
		"a price is in force until the next is known": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "spot", 0, 10)
			m.costs("a", 0.01, 0, 2.5)
			m.costs("a", 0.02, 7.5, 10)
		}, 10, 10 * 0.04, 7.5*0.01 + 2.5*0.02},
		"a replica beside costs": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "spot", 0, 0)
			m.runs("r", "replica", "b", "spot", 5, 15)
			m.costs("a", 0.01, 0, 20)
			m.costs("b", 0.02, 0, 20)
		}, 20, 20 * 0.04, 20*0.01 + 10*0.02},
		"from on demand to spot, both running for half an hour": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "ondemand", 0, 10.5)
			m.runs("n", "primary", "b", "spot", 10, 0)
			m.moves(1, "i", "n", 10.25)
			m.costs("b", 0.01, 0, 20)
		}, 20, 20 * 0.04, 10.5*0.04 + 10*0.01},
		"spot that is dearer saves less than nothing": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "spot", 0, 0)
			m.costs("a", 0.05, 0, 20)
		}, 20, 20 * 0.04, 20 * 0.05},
		"Windows on demand costs its licence, and so does the reference": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "ondemand", 0, 0)
			m.sells("Windows", 0.10, "USD")
		}, 20, 20 * 0.10, 20 * 0.10},
		"Windows on spot, by the price of Windows in force": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "spot", 0, 0)
			m.costs("a", 0.01, 0, 20)
			m.sells("Windows", 0.10, "USD")
			m.exec(`INSERT INTO product_spot_prices VALUES ('t3.medium.us-east-1a', 'Windows', $1, 0.07),
				('t3.medium.us-east-1a', 'Windows', $2, 0.08), ('t3.medium.us-east-1a', 'SUSE Linux', $2, 0.5)`,
				m.at(-5), m.at(12.5))
		}, 20, 20 * 0.10, 12.5*0.07 + 7.5*0.08},
		"a product without a price counts on neither side": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "spot", 0, 0)
			m.costs("a", 0.01, 0, 20)
			m.exec(`UPDATE instances SET product = 'Windows'`)
		}, 20, 0, 0},
		"the volumes of a standby and of both sides of a move": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "ondemand", 0, 10.5)
			m.runs("n", "primary", "b", "ondemand", 10, 0)
			m.runs("r", "replica", "b", "ondemand", 5, 15)
			m.moves(1, "i", "n", 10.25)
			m.exec(`INSERT INTO volume_prices VALUES ('us-east-1', 'gp3', 0.08, 'USD', now()),
				('us-east-1', 'io2', 0.125, 'USD', now())`)
			m.exec(`UPDATE instances SET volumes = '{"gp3": 500, "io2": 100}'`)
		}, 20, 20 * 0.04, (10.5+10+10)*0.04 + (10+.25+.25)*(500*0.08+100*0.125)/720},
		"an agent that is gone was there until then": {2026, time.November, func(m *month) {
			m.runs("i", "retired", "a", "spot", 0, 9)
			m.costs("a", 0.01, 0, 20)
			m.exec(`UPDATE instances SET retiring_since = $1`, m.at(8))
		}, 20, 8 * 0.04, 9 * 0.01},
		"a failed replica leads nobody": {2026, time.November, func(m *month) {
			m.runs("i", "primary", "a", "ondemand", 0, 0)
			m.runs("r", "retired", "b", "ondemand", 2, 3)
			m.exec(`
				INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, instance_id)
				VALUES ('r', 'k1', 'a1', 'manual', 'i', 'failed', 'control-plane', 'r')`)
		}, 20, 20 * 0.04, 21 * 0.04},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // one after the other in one database
			m := newMonth(g, c.year, c.month)
			c.have(m)
			now := m.first.AddDate(0, 1, 0).Add(time.Hour) // the last prices have arrived
			if c.hours > 0 {
				now = m.at(c.hours)
			}
			require.NoError(t, (&housekeeping.Housekeeping{DB: m.db}).ComputeSavings(t.Context(), "k1", m.first, now))
			require.InDelta(t, c.baseline, one[float64](m.guarded, `SELECT baseline::float8 FROM client_savings`),
				1e-6, "baseline")
			require.InDelta(t, c.actual, one[float64](m.guarded, `SELECT actual::float8 FROM client_savings`), 1e-6,
				"actual")
			require.InDelta(t, c.baseline-c.actual,
				one[float64](m.guarded, `SELECT total_savings::float8 FROM clients WHERE id = 'k1'`), 2e-6,
				"the total is the sum of the months")
			require.Equal(t, c.hours > 0, one[bool](m.guarded, `SELECT provisional FROM client_savings`))
			require.Equal(t, one[string](m.guarded, `SELECT baseline || ' ' || actual || ' ' || savings FROM client_savings`),
				one[string](m.guarded, `SELECT coalesce(sum(baseline), 0)::numeric(16, 6) || ' '
					|| coalesce(sum(primary_cost + beside_cost + volume_cost), 0)::numeric(16, 6) || ' '
					|| coalesce(sum(baseline - primary_cost - beside_cost - volume_cost), 0)::numeric(16, 6) FROM savings_lines`),
				"the month is the sum of its lines, to the last digit")
		})
	}
}

// TestAMonthIsInOneCurrency: that of its prices. What is priced in another one is listed as
// time without a price.
func TestAMonthIsInOneCurrency(t *testing.T) {
	t.Parallel()
	m := newMonth(guard(t), 2026, time.September)
	for n, id := range []string{"i", "j", "k"} {
		m.runs(id, "retired", "a", "ondemand", 10, 20)
		if n < 2 {
			m.exec(`UPDATE instances SET region = 'cn-north-1', az = 'cn-north-1a' WHERE id = $1`, id)
		}
	}
	m.exec(`INSERT INTO on_demand_prices VALUES ('cn-north-1', 't3.medium', 0.3, 'pricing-api', now(), 'CNY')`)
	require.NoError(t, (&housekeeping.Housekeeping{DB: m.db}).ComputeSavings(t.Context(), "k1", m.first, m.at(30)))
	require.Equal(t, "CNY 6.000000 10.0000",
		one[string](m.guarded, `SELECT currency || ' ' || baseline || ' ' || (details->>'unpriced_hours') FROM client_savings`))
	require.Equal(t, "CNY 3.000000, CNY 3.000000, USD 0.000000", one[string](m.guarded,
		`SELECT string_agg(currency || ' ' || baseline, ', ' ORDER BY currency) FROM savings_lines`))
}

// TestTotalIsTheSumOfTheMonths, over months that are closed and one that is not.
func TestTotalIsTheSumOfTheMonths(t *testing.T) {
	t.Parallel()
	m := newMonth(guard(t), 2026, time.September)
	h := &housekeeping.Housekeeping{DB: m.db}
	m.runs("i", "primary", "a", "spot", 700, 0)
	m.costs("a", 0.01, 700, 720+744+100)
	now := m.at(720 + 744 + 100)
	open, err := h.FirstOpenMonth(t.Context())
	require.NoError(t, err)
	require.Zero(t, open)
	for n := range 3 {
		require.NoError(t, h.ComputeSavings(t.Context(), "k1", m.first.AddDate(0, n, 0), now))
	}
	require.Equal(t, "0.600000 22.320000 3.000000",
		one[string](m.guarded, `SELECT string_agg(savings::text, ' ' ORDER BY month) FROM client_savings`),
		"20, 744 and 100 hours at 0.03")
	require.Equal(t, "25.920000", one[string](m.guarded, `SELECT total_savings::text FROM clients WHERE id = 'k1'`))
	open, err = h.FirstOpenMonth(t.Context())
	require.NoError(t, err)
	require.Equal(t, "2026-11-01", open.Format(time.DateOnly))
}

// TestAMonthSaysItsParts: what ran beside a primary, the hours of primaries, the hours without
// a price, and the price list. What EC2 took back in its first hour is free.
func TestAMonthSaysItsParts(t *testing.T) {
	t.Parallel()
	m := newMonth(guard(t), 2026, time.November)
	m.runs("i", "retired", "a", "spot", -10, 11)  // primary for ten hours of the month, an hour beside
	m.runs("n", "primary", "b", "ondemand", 8, 0) // two hours beside, then primary
	m.runs("free", "retired", "a", "spot", 12, 12.5)
	m.exec(`UPDATE instances SET terminate_by = 'aws' WHERE id = 'free'`)
	m.runs("dark", "retired", "f", "spot", 12, 13)
	m.moves(1, "i", "n", 10)
	m.costs("a", 0.02, 0, 20)
	require.NoError(t, (&housekeeping.Housekeeping{DB: m.db}).ComputeSavings(t.Context(), "k1", m.first, m.at(20)))
	require.InDelta(t, 11*0.02+12*0.04, one[float64](m.guarded, `SELECT actual::float8 FROM client_savings`), 1e-6)
	require.InDelta(t, 1*0.02+2*0.04,
		one[float64](m.guarded, `SELECT (details->>'replica_cost')::float8 FROM client_savings`), 1e-6)
	require.Equal(t, "20.0000 1.0000 true", one[string](m.guarded, `
		SELECT concat_ws(' ', details->>'primary_hours', details->>'unpriced_hours', provisional::text)
		FROM client_savings`))
	require.Contains(t, one[string](m.guarded, `SELECT details->>'price_list' FROM client_savings`), "pricing-api")
}

// TestAMonthClosesOnce: later runs leave it alone, whatever prices are by then, and the total
// of the client is the sum.
func TestAMonthClosesOnce(t *testing.T) {
	t.Parallel()
	m := newMonth(guard(t), 2026, time.November)
	m.runs("i", "primary", "a", "spot", 0, 0)
	m.costs("a", 0.01, 0, 721)
	h := &housekeeping.Housekeeping{DB: m.db}
	compute := func(after time.Duration) {
		require.NoError(t, h.ComputeSavings(t.Context(), "k1", m.first, m.first.AddDate(0, 1, 0).Add(after)))
	}
	compute(time.Hour)
	compute(time.Hour)
	open, err := h.ClientsOf(t.Context(), m.first)
	require.NoError(t, err)
	require.NotContains(t, open, "k1")
	m.exec(`UPDATE on_demand_prices SET price = 1`)
	compute(2 * time.Hour)
	require.Equal(t, "21.600000 false",
		one[string](m.guarded, `SELECT concat_ws(' ', savings, CASE WHEN provisional THEN 'true' ELSE 'false' END) FROM client_savings`),
		"720 hours at 0.03")
	require.Equal(t, "21.600000", one[string](m.guarded, `SELECT total_savings::text FROM clients WHERE id = 'k1'`))
}
