package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spotkeeper/internal/config"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/backtest"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/market"
	"spotkeeper/internal/engine/onnx"
	"spotkeeper/internal/engine/python"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/pg"
)

// backtestFlags are the flags of `worker backtest`.
type backtestFlags struct {
	engines, market  string
	from, to         string
	seed             uint64
	days, agents     int
	step             time.Duration
	asJSON, noOracle bool
}

func parseBacktest(args []string, out io.Writer) (backtestFlags, error) {
	var f backtestFlags
	set := flag.NewFlagSet("worker backtest", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&f.engines, "engine", "never,legacy,rules",
		"what to run, by commas: never, legacy, rules, or a model's or engine's file (.onnx, .py, .pkl, .joblib)")
	set.StringVar(&f.market, "market", "simulated", "simulated, recorded (in DATABASE_URL), or a file of JSON")
	set.StringVar(&f.from, "from", "", "begin here (RFC 3339 or YYYY-MM-DD); recorded: default 30 days ago")
	set.StringVar(&f.to, "to", "", "end here; recorded: default now")
	set.Uint64Var(&f.seed, "seed", 4, "of the simulated market")
	set.IntVar(&f.days, "days", 30, "of the simulated market")
	set.IntVar(&f.agents, "agents", 200, "in the fleet")
	set.DurationVar(&f.step, "step", 5*time.Minute, "of the clock; every agent is judged at each")
	set.BoolVar(&f.asJSON, "json", false, "print JSON instead of a table")
	set.BoolVar(&f.noOracle, "no-oracle", false, "leave out the strategy that knows the future")
	return f, set.Parse(args)
}

// runBacktest runs engines over a market and prints what they would have cost.
// configErr is why the configuration is incomplete, which matters only when the
// database is asked.
func runBacktest(ctx context.Context, c config.Config, configErr error, args []string, out io.Writer) error {
	f, err := parseBacktest(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	o := backtest.Options{Agents: f.agents, Step: f.step, NoOracle: f.noOracle}
	if o.From, err = moment(f.from); err != nil {
		return err
	}
	if o.To, err = moment(f.to); err != nil {
		return err
	}
	if o.Market, err = openMarket(ctx, f, o, c, configErr); err != nil {
		return err
	}
	for name := range strings.SplitSeq(f.engines, ",") {
		s, closing, err := strategy(ctx, c.Engine, strings.TrimSpace(name))
		if err != nil {
			return err
		}
		defer closing()
		o.Strategies = append(o.Strategies, s)
	}
	report, err := backtest.Run(ctx, o)
	if err != nil {
		return err
	}
	if f.asJSON {
		return report.WriteJSON(out)
	}
	return report.WriteTable(out)
}

func openMarket(
	ctx context.Context,
	f backtestFlags,
	o backtest.Options,
	c config.Config,
	configErr error,
) (*market.Market, error) {
	switch f.market {
	case "simulated":
		return market.Simulate(market.Options{
			Seed:  f.seed,
			Start: o.From,
			Span:  time.Duration(f.days) * 24 * time.Hour,
		}), nil
	case "recorded":
		if configErr != nil {
			return nil, configErr
		}
		db, err := pg.Open(ctx, pg.Options{URL: c.Database.URL.Reveal(), MaxConns: 2})
		if err != nil {
			return nil, err
		}
		defer db.Close()
		from, to := o.From, o.To
		if to.IsZero() {
			to = time.Now()
		}
		if from.IsZero() {
			from = to.Add(-30 * 24 * time.Hour)
		}
		return (&decisions.Decisions{DB: db}).Market(ctx, from, to)
	default:
		data, err := os.ReadFile(f.market)
		if err != nil {
			return nil, err
		}
		m := &market.Market{}
		return m, json.Unmarshal(data, m)
	}
}

// strategy makes what an engine's name or file says, and what ends it.
func strategy(ctx context.Context, c config.Engine, name string) (backtest.Strategy, func(), error) {
	nothing := func() {}
	switch name {
	case "never", "never-switch":
		return backtest.Never(), nothing, nil
	case "legacy":
		return backtest.Legacy(), nothing, nil
	case "rules":
		return backtest.With(engine.Rules{Terse: true}), nothing, nil
	}
	runner, err := engine.RunnerOf(name)
	if err != nil {
		return backtest.Strategy{}, nothing, err
	}
	data, err := os.ReadFile(name) //nolint:gosec // the user names the file
	if err != nil {
		return backtest.Strategy{}, nothing, err
	}
	var e interface {
		engine.Engine
		Close() error
	}
	o := host.Options{Unsafe: c.Python == "unsafe"}
	if runner == engine.RunnerONNX {
		e, err = onnx.New(ctx, o, c.ONNXLibrary, filepath.Base(name), data)
	} else {
		e, err = python.New(ctx, python.Options{Interpreter: c.PythonPath, Options: o}, filepath.Base(name), data)
	}
	if err != nil {
		return backtest.Strategy{}, nothing, err
	}
	return backtest.Strategy{Name: filepath.Base(name), Engine: e}, func() { _ = e.Close() }, nil
}

// moment reads a time of day or a day; nothing is the zero time.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is no time: use RFC 3339 or YYYY-MM-DD", text)
	}
	return t, nil
}
