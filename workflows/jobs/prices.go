package jobs

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/workflows/steps"
)

// PriceCollection reads from EC2 what pools cost, so that a pool is known before
// an agent runs in it.
func PriceCollection(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var prices *activities.Prices
	return runJob[activities.PricesCollected](ctx, "price-collection", in, steps.JobPolicy, prices.CollectPrices)
}

// PriceDedup merges into the five-minute truth what arrived since the last run.
func PriceDedup(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var prices *activities.Prices
	return runJob[activities.PricesDeduplicated](ctx, "price-dedup", in, steps.JobPolicy, prices.DeduplicatePrices)
}

// GapFill interpolates prices that were not measured.
func GapFill(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var prices *activities.Prices
	return runJob[activities.GapsFilled](ctx, "gap-fill", in, steps.JobPolicy, prices.FillPriceGaps, periodOf(ctx, in))
}

// MLDataset computes what models learn from.
func MLDataset(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var prices *activities.Prices
	return runJob[activities.DatasetRefreshed](ctx, "ml-dataset", in, steps.JobPolicy, prices.RefreshDataset)
}

// PricePartitions makes the partitions of the coming days. Without it reports
// still arrive, in the default partition.
func PricePartitions(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var house *activities.Housekeeping
	return runJob[activities.JobCounts](ctx, "price-partitions", in, steps.JobPolicy, house.MakePartitions)
}
