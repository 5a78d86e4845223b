package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/serving"
)

// wanted is what should serve.
type wanted mlmodel.Serving

func (w wanted) Serving(context.Context) (mlmodel.Serving, error) { return mlmodel.Serving(w), nil }

// TestEachProcessSaysWhatItDecidesWith, and whether that is what it should.
func TestEachProcessSaysWhatItDecidesWith(t *testing.T) {
	t.Parallel()

	at := time.Now()
	s := &serving.Serving{
		Source: wanted{Live: []mlmodel.Session{{ID: "s1", Live: true, ActivatedAt: &at}}},
		Load: func(context.Context, mlmodel.Session) (serving.Loaded, error) {
			return nil, errors.New("the file is missing")
		},
		Log: slog.New(slog.DiscardHandler),
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newEngineGauges(s, true))
	const serves = "spotkeeper_engine_serves_what_it_should"
	require.InDelta(t, 1, gathered(t, r)[serves], 0)
	s.Look(t.Context())
	require.InDelta(t, 0, gathered(t, r)[serves], 0)
	require.InDelta(t, 1, gathered(t, r)["spotkeeper_engine_unsafe"], 0)

	families, err := r.Gather()
	require.NoError(t, err)
	labels := map[string]string{}
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
	}
	require.Equal(t, map[string]string{
		"engine":  engine.Rules{}.Name(),
		"version": engine.Rules{}.Version(),
		"session": "",
	}, labels, "it serves on with what it had")
}
