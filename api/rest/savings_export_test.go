package rest_test

import (
	"encoding/csv"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSavingsAreExportedLineByLine: the sum of the file is the ledger's figure, and no name
// that an agent has chosen is a formula to a spreadsheet.
func TestSavingsAreExportedLineByLine(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	s.exec(`INSERT INTO client_savings (client_id, month, baseline, actual, savings)
		VALUES ('c1', date_trunc('month', now() AT TIME ZONE 'UTC')::date, 3.000001, 1.5, 1.500001)`)
	s.exec(`INSERT INTO savings_lines (client_id, month, instance_id, agent_id, agent, instance_type, region, az, mode,
			seconds, primary_seconds, unpriced_seconds, baseline, primary_cost, beside_cost, volume_cost, product, currency)
		SELECT 'c1', date_trunc('month', now() AT TIME ZONE 'UTC')::date, 'i-' || n, 'a1',
			CASE n WHEN 1 THEN '=1+1' ELSE E'\u200b\n＝1+2' END, 't3.medium',
			'us-east-1', 'us-east-1a', 'spot', 3600, 3600, 0, CASE n WHEN 1 THEN 3.000001 ELSE 0 END,
			CASE n WHEN 1 THEN 1 ELSE 0 END, CASE n WHEN 1 THEN 0 ELSE 0.3 END, CASE n WHEN 1 THEN 0 ELSE 0.2 END, 'Windows',
			'CNY'
		FROM generate_series(1, 2) n`)
	got := s.call(s.acme, "GET", "/api/client/c1/savings.csv?months=1", "")
	require.Equal(t, 200, got.status, got.raw)
	require.Contains(t, got.header.Get("Content-Type"), "text/csv")
	rows, err := csv.NewReader(strings.NewReader(got.raw)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	at := map[string]int{}
	for n, name := range rows[0] {
		at[name] = n
	}
	sum := new(big.Rat)
	for _, row := range rows[1:] {
		require.Equal(t, "'", row[at["agent"]][:1])
		require.Equal(t, "CNY", row[at["currency"]])
		require.Equal(t, "Windows", row[at["product"]])
		amount, ok := new(big.Rat).SetString(row[at["savings"]])
		require.True(t, ok, row)
		sum.Add(sum, amount)
	}
	require.Equal(t, s.value(`SELECT savings::text FROM client_savings`), sum.FloatString(6))
	require.Equal(t, 400, s.call(s.acme, "GET", "/api/client/c1/savings.csv?months=0", "").status)
}
