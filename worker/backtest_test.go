package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
	"spotkeeper/internal/engine/backtest"
	"spotkeeper/internal/engine/market"
)

func TestBacktestNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	small := []string{"-days", "2", "-agents", "12", "-step", "1h"}
	incomplete := errors.New("DATABASE_URL is not set")
	require.NoError(t, runBacktest(t.Context(), config.Config{}, incomplete, small, &out))
	for _, want := range []string{"simulated, seed 4", "never-switch", "legacy", "rules", "oracle", "regret"} {
		require.Contains(t, out.String(), want)
	}

	out.Reset()
	require.NoError(t, runBacktest(t.Context(), config.Config{}, incomplete,
		append(small, "-json", "-engine", "rules", "-no-oracle"), &out))
	var r backtest.Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Len(t, r.Rows, 1)
	require.Equal(t, 48*12, r.Rows[0].Decisions)

	require.ErrorIs(t, runBacktest(t.Context(), config.Config{}, incomplete, []string{"-market", "recorded"}, &out),
		incomplete)
}

func TestBacktestOverAFile(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(market.Simulate(market.Options{Seed: 9, Span: 48 * time.Hour}))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "market.json")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	var out bytes.Buffer
	require.NoError(t, runBacktest(t.Context(), config.Config{}, nil,
		[]string{"-market", file, "-agents", "4", "-step", "1h", "-from", "2026-01-06"}, &out))
	require.Contains(t, out.String(), "seed 9: 4 agents, 1.0 days from 2026-01-06 00:00 UTC")
}

func TestBacktestRefuses(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for want, args := range map[string][]string{
		"onnx off":                {"-engine", "testdata/none.onnx"},
		"export the model to ONN": {"-engine", "model.h5"},
		"is no time":              {"-from", "yesterday"},
		"not defined":             {"-nonsense"},
	} {
		if want == "onnx off" {
			file := filepath.Join(t.TempDir(), "m.onnx")
			require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
			args[1] = file
		}
		require.ErrorContains(t, runBacktest(t.Context(), config.Config{}, nil, args, &out), want)
	}
}
