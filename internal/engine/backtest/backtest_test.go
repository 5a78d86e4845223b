package backtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/backtest"
	"spotkeeper/internal/engine/market"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run is some days of a small fleet with a coarse clock.
func run(t *testing.T, seed uint64, days int) backtest.Report {
	t.Helper()
	r, err := backtest.Run(t.Context(), backtest.Options{
		Market:     market.Simulate(market.Options{Seed: seed, Span: time.Duration(days) * 24 * time.Hour}),
		Agents:     48,
		Step:       2 * time.Hour,
		Strategies: []backtest.Strategy{backtest.Never(), backtest.Legacy(), backtest.With(engine.Rules{Terse: true})},
	})
	require.NoError(t, err)
	return r
}

// TestRulesBeatLegacy runs markets the rules were not tuned on.
func TestRulesBeatLegacy(t *testing.T) {
	t.Parallel()
	var rules, legacy, oracle backtest.Row
	for seed := uint64(11); seed < 15; seed++ {
		r := run(t, seed, 30)
		for name, sum := range map[string]*backtest.Row{"rules": &rules, "legacy": &legacy, backtest.Oracle: &oracle} {
			row, ok := r.Row(name)
			require.True(t, ok)
			sum.Bill, sum.Total = sum.Bill+row.Bill, sum.Total+row.Total
			sum.Interruptions, sum.Switches = sum.Interruptions+row.Interruptions, sum.Switches+row.Switches
			best, _ := r.Row(backtest.Oracle)
			require.LessOrEqual(t, best.Total, row.Total, "nobody beats who knows the future")
		}
		calm, _ := r.Row("never-switch")
		require.Zero(t, calm.Switches)
	}
	require.Less(t, rules.Bill, legacy.Bill)
	// One loss hits a dozen agents at once, so counts this small say "no more"
	// only within a few per cent.
	require.LessOrEqual(t, float64(rules.Interruptions), 1.05*float64(legacy.Interruptions))
	t.Logf("rules: $%.0f, %d interruptions, %d switches; legacy: $%.0f, %d, %d; oracle: $%.0f",
		rules.Bill, rules.Interruptions, rules.Switches, legacy.Bill, legacy.Interruptions, legacy.Switches,
		oracle.Bill)
}

func TestTheSameSeedIsTheSameReport(t *testing.T) {
	t.Parallel()
	a, b := run(t, 5, 5), run(t, 5, 5)
	for i := range a.Rows {
		a.Rows[i], b.Rows[i] = plain(a.Rows[i]), plain(b.Rows[i])
	}
	require.Equal(t, a, b)
}

// plain leaves out what the clock measured.
func plain(r backtest.Row) backtest.Row {
	return backtest.Row{
		Strategy:      r.Strategy,
		Bill:          r.Bill,
		Total:         r.Total,
		Switches:      r.Switches,
		Interruptions: r.Interruptions,
		Decisions:     r.Decisions,
	}
}

// TestArithmetic is a market small enough for paper: one pool at half price, one
// loss of everything.
func TestArithmetic(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	m := &market.Market{
		Name: "paper", Start: start, End: start.Add(10 * time.Hour),
		OnDemand: []market.Reference{{Type: "m5.large", Region: "us-east-1", USD: 1}},
		Pools: []market.Pool{{
			ID: "m5.large.us-east-1a", Type: "m5.large", Region: "us-east-1", AZ: "us-east-1a",
			Prices: []engine.Price{{USD: .5, At: start.Add(-time.Hour)}},
			Losses: []market.Loss{{At: start.Add(5 * time.Hour), Until: start.Add(6 * time.Hour), Share: 1}},
		}},
	}
	r, err := backtest.Run(t.Context(), backtest.Options{
		Market:     m,
		Agents:     1,
		Clients:    1,
		Step:       time.Hour,
		Strategies: []backtest.Strategy{backtest.Never()},
	})
	require.NoError(t, err)
	require.InDelta(t, 10, r.AllOnDemand, 1e-9)
	never, _ := r.Row("never-switch")
	require.Equal(t, 1, never.Interruptions)
	// Five hours at half price, five on demand, two minutes of both.
	require.InDelta(t, 5*.5+5*1+backtest.FailoverOverlap.Hours(), never.Bill, 1e-9)
	require.InDelta(t, never.Bill+3, never.Total, 1e-9, "an interruption counts as three hours on demand")
	oracle, _ := r.Row(backtest.Oracle)
	// It steps aside an hour before the loss, pays the overlaps, and comes back
	// when there is capacity again.
	require.Zero(t, oracle.Interruptions)
	require.Equal(t, 2, oracle.Switches)
	require.InDelta(t, 8*.5+2+(.5+1)*backtest.SwitchOverlap.Hours(), oracle.Bill, 1e-9)
	require.InDelta(t, (never.Total/oracle.Total-1)*100, never.RegretPercent, 1e-9)
}

func TestReportsForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	r := run(t, 5, 5)
	var table, data bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Contains(t, table.String(), "never-switch")
	require.Contains(t, table.String(), "regret")
	require.NoError(t, r.WriteJSON(&data))
	var back backtest.Report
	require.NoError(t, json.Unmarshal(data.Bytes(), &back))
	require.Len(t, back.Rows, 4)
}

func TestRefusesWhatItCannotRun(t *testing.T) {
	t.Parallel()
	_, err := backtest.Run(t.Context(), backtest.Options{})
	require.True(t, fault.Is(err, backtest.BadOptions))
	m := market.Simulate(market.Options{Seed: 1})
	_, err = backtest.Run(t.Context(), backtest.Options{Market: m, From: m.End.Add(time.Hour)})
	require.True(t, fault.Is(err, backtest.BadOptions))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = backtest.Run(ctx, backtest.Options{Market: m})
	require.ErrorIs(t, err, context.Canceled)
}
