package backtest

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"spotkeeper/internal/domain/fault"
)

// Report is the result of a back-test. Money is USD over the whole time.
type Report struct {
	Market            string    `json:"market"`
	From              time.Time `json:"from"`
	To                time.Time `json:"to"`
	Agents            int       `json:"agents"`
	InterruptionHours float64   `json:"interruption_hours"` // what an interruption counts in Disruption, on-demand hours
	AllOnDemand       float64   `json:"all_on_demand"`      // the bill without spot
	Rows              []Row     `json:"strategies"`
}

// Row is one strategy's outcome.
type Row struct {
	Strategy       string  `json:"strategy"`
	Bill           float64 `json:"bill"`            // what EC2 would charge
	SavingsPercent float64 `json:"savings_percent"` // of the bill against all on demand
	Disruption     float64 `json:"disruption"`      // what the interruptions are counted as
	Total          float64 `json:"total"`           // bill and disruption
	RegretPercent  float64 `json:"regret_percent"`  // of the total above the oracle's; 0 without one
	Switches       int     `json:"switches"`
	Interruptions  int     `json:"interruptions"`
	Refused        int     `json:"refused"`    // switches for which there was no capacity
	SpotShare      float64 `json:"spot_share"` // of the agents' hours
	Decisions      int     `json:"decisions"`
	Micros         float64 `json:"microseconds_per_decision"`

	deciding  time.Duration
	spotHours float64
}

// Row finds a strategy's outcome.
func (r Report) Row(strategy string) (Row, bool) {
	for _, row := range r.Rows {
		if row.Strategy == strategy {
			return row, true
		}
	}
	return Row{}, false
}

// measure fills in what compares rows.
func (r *Report) measure() {
	best, foreseen := r.Row(Oracle)
	for i := range r.Rows {
		row := &r.Rows[i]
		row.SavingsPercent = (1 - row.Bill/r.AllOnDemand) * 100
		row.SpotShare = row.spotHours / (float64(r.Agents) * r.To.Sub(r.From).Hours())
		if foreseen {
			row.RegretPercent = (row.Total/best.Total - 1) * 100
		}
		if row.Decisions > 0 {
			row.Micros = float64(row.deciding.Nanoseconds()) / 1000 / float64(row.Decisions)
		}
	}
}

// WriteTable prints the report for people. Fails with what the writer fails
// with.
func (r Report) WriteTable(w io.Writer) error {
	days := r.To.Sub(r.From).Hours() / 24
	if _, err := fmt.Fprintf(w,
		"%s: %d agents, %.1f days from %s; all on demand $%.2f; an interruption counts as %g on-demand hours\n",
		r.Market, r.Agents, days, r.From.UTC().Format("2006-01-02 15:04 UTC"), r.AllOnDemand,
		r.InterruptionHours); err != nil {
		return unwritten(err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t,
		"strategy\tbill $\tsaved\ttotal $\tregret\tswitches\tinterruptions\trefused\ton spot\tµs/decision\t")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%.2f\t%.1f%%\t%.2f\t%.1f%%\t%d\t%d\t%d\t%.0f%%\t%.1f\t\n", row.Strategy, row.Bill,
			row.SavingsPercent,
			row.Total, row.RegretPercent, row.Switches, row.Interruptions, row.Refused, row.SpotShare*100, row.Micros)
	}
	return unwritten(t.Flush())
}

// WriteJSON prints the report for programs. Fails with what the writer fails
// with.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return unwritten(e.Encode(r))
}

var unwrittenReport = fault.Define("backtest.report_not_written", fault.Internal)

func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return unwrittenReport.Wrap(err, "the report could not be written")
}
