package activities

import (
	"context"
	"time"
)

// PricesDeduplicated counts one deduplication.
type PricesDeduplicated struct {
	Processed     int64 `json:"processed"`
	New           int64 `json:"new_snapshots"`
	Replaced      int64 `json:"replaced"`
	Duplicates    int64 `json:"duplicates_found"`
	Discrepancies int64 `json:"discrepancies"` // buckets of the last hour in which equals differ by more than 10 %
}

// Counts returns the figures that are stored with the row of the run.
func (d *PricesDeduplicated) Counts() map[string]int64 {
	return map[string]int64{
		"processed":        d.Processed,
		"new_snapshots":    d.New,
		"replaced":         d.Replaced,
		"duplicates_found": d.Duplicates,
		"discrepancies":    d.Discrepancies,
	}
}

// DeduplicatePrices merges into the buckets what arrived since the last run.
func (p *Prices) DeduplicatePrices(ctx context.Context) (*PricesDeduplicated, error) {
	out, err := p.Store.Deduplicate(ctx, func() { recordHeartbeat(ctx) })
	return &out, err
}

// GapsFilled counts one gap filling.
type GapsFilled struct {
	Pools             int64 `json:"pools"`
	Found             int64 `json:"found"`   // buckets that were missing and could be filled
	Written           int64 `json:"written"` // of those, new or corrected
	Linear            int64 `json:"linear"`
	Weighted          int64 `json:"weighted_average"`
	CrossPool         int64 `json:"cross_pool"`
	TooLong           int64 `json:"gap_too_long"`
	MissingBoundaries int64 `json:"missing_boundaries"`
}

// Counts returns the figures that are stored with the row of the run.
func (g *GapsFilled) Counts() map[string]int64 {
	return map[string]int64{
		"pools":              g.Pools,
		"found":              g.Found,
		"written":            g.Written,
		"linear":             g.Linear,
		"weighted_average":   g.Weighted,
		"cross_pool":         g.CrossPool,
		"gap_too_long":       g.TooLong,
		"missing_boundaries": g.MissingBoundaries,
	}
}

// FillPriceGaps interpolates what was not measured in the day before the period, or
// since the last run if that is longer ago. So a backfill fills the days it names,
// and corrects there what was guessed before a late report came.
func (p *Prices) FillPriceGaps(ctx context.Context, period time.Time) (*GapsFilled, error) {
	until := p.now()
	if !period.IsZero() && period.Before(until) {
		until = period
	}
	out, err := p.Store.FillGaps(ctx, until, func() { recordHeartbeat(ctx) })
	return &out, err
}

// DatasetRefreshed counts the rows that one refresh of a dataset wrote.
type DatasetRefreshed struct {
	Days    int64 `json:"days"`
	Written int64 `json:"written"`
}

// Counts returns the figures that are stored with the row of the run.
func (d *DatasetRefreshed) Counts() map[string]int64 {
	return map[string]int64{"days": d.Days, "written": d.Written}
}

// RefreshDataset computes the features of what changed since the last run.
func (p *Prices) RefreshDataset(ctx context.Context) (*DatasetRefreshed, error) {
	out, err := p.Store.RefreshFeatures(ctx, func() { recordHeartbeat(ctx) })
	return &out, err
}
