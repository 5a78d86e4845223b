package activities

import (
	"context"
	"time"

	"spotkeeper/internal/domain/fault"
)

// ProductInRegion is a type that runs something else than Linux.
type ProductInRegion struct {
	TypeInRegion

	Product string // in the words of EC2's platform details: Windows, SUSE Linux, …
}

func (p ProductInRegion) scope() string { return p.TypeInRegion.scope() + "/" + p.Product }

// VolumeInRegion is a kind of volume, such as gp3, in a region.
type VolumeInRegion struct {
	Region string
	Kind   string
}

const (
	productJob = "product-prices"
	volumeJob  = "volume-prices"
	// productHistory is how far back the spot prices of a product are read at first sight: the
	// ledger computes the month of now and the one before.
	productHistory = 62 * 24 * time.Hour
	volumesEvery   = 24 * time.Hour
)

// collectProducts reads what the types cost that run something else than Linux. They are
// counted and priced by the ledger alone. What cannot be read is left for the next run.
func (p *Prices) collectProducts(ctx context.Context, out *PricesCollected) {
	list, err := p.Store.ProductsInUse(ctx)
	if err != nil {
		p.Log.WarnContext(ctx, "the products in use could not be listed", "error", err)
	}
	for _, x := range list {
		if err := p.collectProduct(ctx, x, out); err != nil {
			p.Log.WarnContext(ctx, "the prices of a product could not be collected", "region", x.Region,
				"instance_type", x.InstanceType, "product", x.Product, "code", fault.CodeOf(err), "error", err)
		}
		recordHeartbeat(ctx)
	}
}

func (p *Prices) collectProduct(ctx context.Context, x ProductInRegion, out *PricesCollected) error {
	now := p.now().UTC()
	list, err := p.Market.ProductPrice(ctx, x.Region, x.InstanceType, x.Product)
	if err != nil {
		return err
	}
	if err := p.Store.KeepProductPrice(ctx, x, list, now); err != nil {
		return err
	}
	out.OnDemand++
	since, err := p.Store.Watermark(ctx, productJob, x.scope())
	if err != nil {
		return err
	}
	if oldest := now.Add(-productHistory); since.Before(oldest) {
		since = oldest
	}
	if err := p.Market.ProductMoves(ctx, x, since, func(moves []PriceMove) error {
		n, err := p.Store.KeepProductMoves(ctx, x, moves)
		out.Moves += n
		return err
	}); err != nil {
		return err
	}
	return p.Store.SetWatermark(ctx, productJob, x.scope(), now)
}

// collectVolumes reads what volumes cost, once a day.
func (p *Prices) collectVolumes(ctx context.Context) {
	list, err := p.Store.VolumesInUse(ctx)
	if err != nil {
		p.Log.WarnContext(ctx, "the kinds of volumes could not be listed", "error", err)
	}
	for _, v := range list {
		if err := p.collectVolume(ctx, v); err != nil {
			p.Log.WarnContext(ctx, "the price of a kind of volume could not be read", "region", v.Region, "kind", v.Kind,
				"code", fault.CodeOf(err), "error", err)
		}
		recordHeartbeat(ctx)
	}
}

func (p *Prices) collectVolume(ctx context.Context, v VolumeInRegion) error {
	now, scope := p.now().UTC(), v.Region+"/"+v.Kind
	read, err := p.Store.Watermark(ctx, volumeJob, scope)
	if err != nil || now.Sub(read) < volumesEvery {
		return err
	}
	price, err := p.Market.VolumePrice(ctx, v.Region, v.Kind)
	if err != nil {
		return err
	}
	if err := p.Store.KeepVolumePrice(ctx, v, price, now); err != nil {
		return err
	}
	return p.Store.SetWatermark(ctx, volumeJob, scope, now)
}
