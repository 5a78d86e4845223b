package activities

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/pricing"
	"spotkeeper/internal/domain/replica"
)

// PriceStore is the part of postgres.Prices that price activities use. Each
// method is set-based, works in bounded chunks and calls beat between them.
type PriceStore interface {
	InUse(ctx context.Context) ([]TypeInRegion, error)
	Regions(ctx context.Context) ([]string, error)
	Watermark(ctx context.Context, job, scope string) (time.Time, error)
	SetWatermark(ctx context.Context, job, scope string, at time.Time) error
	KeepPriceChanges(ctx context.Context, place TypeInRegion, moves []PriceChange, since, until time.Time) (int64, error)
	KeepTypes(ctx context.Context, region string, types []replica.TypeFacts) error
	// Fitting lists the types that could replace those in use, as places of prices.
	Fitting(ctx context.Context) ([]TypeInRegion, error)
	KeepOnDemand(ctx context.Context, place TypeInRegion, price ListPrice, at time.Time) error
	// ProductsInUse lists the types that run something else than Linux, with their product.
	ProductsInUse(ctx context.Context) ([]ProductInRegion, error)
	// VolumesInUse lists the kinds of volumes of agents' instances by region.
	VolumesInUse(ctx context.Context) ([]VolumeInRegion, error)
	KeepProductPrice(ctx context.Context, p ProductInRegion, price ListPrice, at time.Time) error
	KeepProductPriceChanges(ctx context.Context, p ProductInRegion, moves []PriceChange) (int64, error)
	KeepVolumePrice(ctx context.Context, v VolumeInRegion, price ListPrice, at time.Time) error
	Deduplicate(ctx context.Context, beat func()) (PricesDeduplicated, error)
	FillGaps(ctx context.Context, until time.Time, beat func()) (GapsFilled, error)
	RefreshFeatures(ctx context.Context, beat func()) (DatasetRefreshed, error)
}

// Market is the part of the way to EC2 that prices come by.
type Market interface {
	// Siblings lists the types of a family that a region offers.
	Siblings(ctx context.Context, region, family string) ([]string, error)
	// Types lists EC2's facts about all instance types of a region.
	Types(ctx context.Context, region string) ([]replica.TypeFacts, error)
	// PriceChanges hands over when the spot prices of types changed since a moment, and
	// what was in force then, in portions.
	PriceChanges(
		ctx context.Context,
		region string,
		instanceTypes []string,
		since time.Time,
		each func([]PriceChange) error,
	) error
	// OnDemandPrice is the list price of an hour on Linux.
	OnDemandPrice(ctx context.Context, region, instanceType string) (ListPrice, error)
	// ProductPrice is the list price of an hour with a product.
	ProductPrice(ctx context.Context, region, instanceType, product string) (ListPrice, error)
	// ProductPriceChanges is PriceChanges for a type with a product.
	ProductPriceChanges(ctx context.Context, p ProductInRegion, since time.Time, each func([]PriceChange) error) error
	// VolumePrice is the list price of a GB and month.
	VolumePrice(ctx context.Context, region, kind string) (ListPrice, error)
}

// ListPrice is a price of the price list in the currency of the region.
type ListPrice struct {
	Amount   float64
	Currency string
}

// TypeInRegion is where prices are collected.
type TypeInRegion struct {
	Region       string
	InstanceType string
}

func (t TypeInRegion) scope() string { return t.Region + "/" + t.InstanceType }

// family is the part of the type before the dot.
func (t TypeInRegion) family() string {
	family, _, _ := strings.Cut(t.InstanceType, ".")
	return family
}

// PriceChange is a new spot price of a pool and since when it is in force.
type PriceChange struct {
	InstanceType string
	AZ           string
	Price        string // for an hour, in the currency of the region
	At           time.Time
}

// Prices are the jobs that know what pools cost. Everything they write is merged
// by rules that do not depend on order, so each may run any number of times.
type Prices struct {
	Store  PriceStore
	Market Market
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
	// Backfill is how far back the history of a type that is new to us is read.
	// Zero: as far as EC2 has it.
	Backfill time.Duration
}

const (
	collectJob = "price-collection"
	// historyJob marks the types whose whole history was read. A type that is only a
	// sibling has its present price alone until an agent runs on it.
	historyJob = "price-history"
	// spotHistory is how far back EC2 has spot prices.
	spotHistory = 90 * 24 * time.Hour
	// siblingHistory is how far back the history of a type without agents is read: enough
	// to choose by.
	siblingHistory = time.Hour
)

func (p *Prices) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

// PricesCollected counts one collection.
type PricesCollected struct {
	Types        int64 `json:"types"`
	PriceChanges int64 `json:"moves"`
	Buckets      int64 `json:"buckets"`
	OnDemand     int64 `json:"on_demand"`
	Failed       int64 `json:"failed"`  // types whose prices could not be read
	Refused      int64 `json:"refused"` // prices out of range: each is left out, the others are kept
}

// Counts returns the figures that are stored with the row of the run.
func (c *PricesCollected) Counts() map[string]int64 {
	return map[string]int64{
		"types":     c.Types,
		"moves":     c.PriceChanges,
		"buckets":   c.Buckets,
		"on_demand": c.OnDemand,
		"failed":    c.Failed,
		"refused":   c.Refused,
	}
}

// CollectPrices reads from EC2 what the pools of all types in use and of their
// families cost, since the last time; at first sight of a type that is in use,
// its whole history. So a pool is known before an agent runs in it. A type that
// cannot be read is counted and left for the next run; when none can, the run
// fails.
func (p *Prices) CollectPrices(ctx context.Context) (*PricesCollected, error) {
	regions, err := p.Store.Regions(ctx)
	if err != nil {
		return nil, err
	}
	p.collectTypes(ctx, regions)
	inUse, err := p.Store.InUse(ctx)
	if err != nil {
		return nil, err
	}
	out := &PricesCollected{}
	var last error
	for _, place := range p.withSiblings(ctx, inUse) {
		if err := p.collect(ctx, place, out); err != nil {
			if ctx.Err() != nil {
				return out, ctx.Err()
			}
			out.Failed++
			last = err
			p.Log.WarnContext(ctx, "prices could not be collected", "region", place.Region,
				"instance_type", place.InstanceType, "code", fault.CodeOf(err), "error", err)
		}
		out.Types++
		recordHeartbeat(ctx)
	}
	if out.Failed > 0 && out.Failed == out.Types {
		return nil, last
	}
	p.collectProducts(ctx, out)
	p.collectVolumes(ctx)
	return out, ctx.Err()
}

const (
	typesJob   = "instance-types"
	typesEvery = 24 * time.Hour // AWS adds some a few times in a year
)

// collectTypes reads EC2's facts about the instance types of each region, once a day.
// A region that cannot be read keeps what was read before.
func (p *Prices) collectTypes(ctx context.Context, regions []string) {
	for _, region := range regions {
		if err := p.collectTypesOf(ctx, region); err != nil {
			p.Log.WarnContext(ctx, "the instance types of a region could not be read", "region", region,
				"code", fault.CodeOf(err), "error", err)
		}
		recordHeartbeat(ctx)
	}
}

func (p *Prices) collectTypesOf(ctx context.Context, region string) error {
	now := p.now().UTC()
	read, err := p.Store.Watermark(ctx, typesJob, region)
	if err != nil || now.Sub(read) < typesEvery {
		return err
	}
	types, err := p.Market.Types(ctx, region)
	if err != nil {
		return err
	}
	if err := p.Store.KeepTypes(ctx, region, types); err != nil {
		return err
	}
	return p.Store.SetWatermark(ctx, typesJob, region, now)
}

// place is a type to collect and how far back at first sight.
type place struct {
	TypeInRegion
	history time.Duration
	inUse   bool
}

func (p *Prices) withSiblings(ctx context.Context, inUse []TypeInRegion) []place {
	known, families := map[TypeInRegion]bool{}, map[TypeInRegion]bool{}
	var out []place
	history := p.Backfill
	if history <= 0 || history > spotHistory {
		history = spotHistory
	}
	for _, t := range inUse {
		known[t] = true
		out = append(out, place{t, history, true})
	}
	fitting, err := p.Store.Fitting(ctx)
	if err != nil {
		p.Log.WarnContext(ctx, "the types that could replace those in use could not be listed", "error", err)
	}
	for _, t := range fitting {
		if !known[t] {
			known[t] = true
			out = append(out, place{t, siblingHistory, false})
		}
	}
	for _, t := range inUse {
		family := TypeInRegion{t.Region, t.family()}
		if families[family] {
			continue
		}
		families[family] = true
		siblings, err := p.Market.Siblings(ctx, t.Region, t.family())
		if err != nil {
			p.Log.WarnContext(ctx, "the types of a family could not be listed", "region", t.Region,
				"family", t.family(), "code", fault.CodeOf(err), "error", err)
			continue
		}
		for _, s := range siblings {
			if sibling := (TypeInRegion{t.Region, s}); !known[sibling] {
				known[sibling] = true
				out = append(out, place{sibling, siblingHistory, false})
			}
		}
	}
	return out
}

// knownFor is how old prices may be that need not be read in between the runs of the job.
const knownFor = 15 * time.Minute

// know reads the present prices of one type when they are not known yet, so that the first
// decision about an instance does not wait for the next run of the job. A second
// read stores the same prices.
func (p *Prices) know(ctx context.Context, t TypeInRegion) error {
	read, err := p.Store.Watermark(ctx, collectJob, t.scope())
	if err != nil || p.now().Sub(read) < knownFor {
		return err
	}
	return p.collect(ctx, place{t, siblingHistory, false}, &PricesCollected{})
}

func (p *Prices) collect(ctx context.Context, at place, out *PricesCollected) error {
	now := p.now().UTC()
	since, whole, err := p.unknownSince(ctx, at, now)
	if err != nil {
		return err
	}
	switch list, err := p.Market.OnDemandPrice(ctx, at.Region, at.InstanceType); {
	case err != nil:
		p.Log.WarnContext(ctx, "the price list could not be read", "region", at.Region,
			"instance_type", at.InstanceType, "code", fault.CodeOf(err), "error", err)
	case !pricing.FromFloat(list.Amount).Valid():
		out.Refused++
		p.Log.WarnContext(ctx, "a list price is out of range and left out", "region", at.Region,
			"instance_type", at.InstanceType, "price", list.Amount)
	default:
		if err := p.Store.KeepOnDemand(ctx, at.TypeInRegion, list, now); err != nil {
			return err
		}
		out.OnDemand++
	}
	byZone := map[string][]PriceChange{}
	if err := p.Market.PriceChanges(ctx, at.Region, []string{at.InstanceType}, since, func(moves []PriceChange) error {
		for _, m := range moves {
			if price, err := strconv.ParseFloat(m.Price, 64); err != nil || !pricing.FromFloat(price).Valid() {
				out.Refused++
				continue
			}
			byZone[m.AZ] = append(byZone[m.AZ], m)
		}
		recordHeartbeat(ctx)
		return nil
	}); err != nil {
		return err
	}
	for _, moves := range byZone { // a zone at a time: 90 days of one pool are 26,000 buckets
		n, err := p.Store.KeepPriceChanges(ctx, at.TypeInRegion, moves, since.Truncate(5*time.Minute), now)
		if err != nil {
			return err
		}
		out.PriceChanges += int64(len(moves))
		out.Buckets += n
		recordHeartbeat(ctx)
	}
	if whole {
		if err := p.Store.SetWatermark(ctx, historyJob, at.scope(), now); err != nil {
			return err
		}
	}
	return p.Store.SetWatermark(ctx, collectJob, at.scope(), now)
}

// unknownSince is the moment from which on prices of a type are not known yet; whole says
// that this is the first time its history is read.
func (p *Prices) unknownSince(ctx context.Context, at place, now time.Time) (since time.Time, whole bool, err error) {
	if at.inUse {
		read, err := p.Store.Watermark(ctx, historyJob, at.scope())
		if err != nil {
			return time.Time{}, false, err
		}
		whole = read.IsZero()
	}
	if !whole {
		if since, err = p.Store.Watermark(ctx, collectJob, at.scope()); err != nil {
			return time.Time{}, false, err
		}
	}
	if since.IsZero() {
		since = now.Add(-at.history)
	}
	if oldest := now.Add(-spotHistory); since.Before(oldest) {
		since = oldest
	}
	return since, whole, nil
}
