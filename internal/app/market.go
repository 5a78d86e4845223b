package app

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/fleet"
)

// ec2Market shows EC2's prices as activities want them, read in our own account:
// prices are the same for all clients.
type ec2Market struct {
	fleet *fleet.Provider

	mu       sync.Mutex
	families map[string]offered // by region and family
}

// offered is what a family consists of, as it was last asked.
type offered struct {
	types []string
	until time.Time
}

// offeredTTL is how long the types of a family are taken as they are: AWS adds
// one a few times in a year.
const offeredTTL = 24 * time.Hour

var _ activities.Market = (*ec2Market)(nil)

func newEC2Market(p *fleet.Provider) *ec2Market {
	return &ec2Market{fleet: p, families: map[string]offered{}}
}

// Siblings lists the types of a family that a region offers.
func (m *ec2Market) Siblings(ctx context.Context, region, family string) ([]string, error) {
	key := region + "/" + family
	m.mu.Lock()
	had, known := m.families[key]
	m.mu.Unlock()
	if known && time.Now().Before(had.until) {
		return had.types, nil
	}
	found, err := m.fleet.Offerings(ctx, fleet.Account{}, region, family+".*")
	if err != nil {
		return nil, err
	}
	types := slices.Sorted(maps.Keys(found))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.families[key] = offered{types, time.Now().Add(offeredTTL)}
	return types, nil
}

// Types lists EC2's facts about all instance types of a region.
func (m *ec2Market) Types(ctx context.Context, region string) ([]replica.TypeFacts, error) {
	return m.fleet.InstanceTypes(ctx, fleet.Account{}, region)
}

// PriceChanges hands over the changes of spot prices since a moment, in portions.
func (m *ec2Market) PriceChanges(
	ctx context.Context,
	region string,
	instanceTypes []string,
	since time.Time,
	each func([]activities.PriceChange) error,
) error {
	return m.moves(ctx, region, fleet.SpotPriceQuery{InstanceTypes: instanceTypes, Since: since}, each)
}

// ProductPriceChanges is PriceChanges for a type with a product.
func (m *ec2Market) ProductPriceChanges(
	ctx context.Context, p activities.ProductInRegion, since time.Time, each func([]activities.PriceChange) error,
) error {
	query := fleet.SpotPriceQuery{InstanceTypes: []string{p.InstanceType}, Product: p.Product, Since: since}
	return m.moves(ctx, p.Region, query, each)
}

func (m *ec2Market) moves(
	ctx context.Context, region string, query fleet.SpotPriceQuery, each func([]activities.PriceChange) error,
) error {
	return m.fleet.SpotPrices(ctx, fleet.Account{}, region, query, func(page []fleet.SpotPrice) error {
		moves := make([]activities.PriceChange, len(page))
		for i, p := range page {
			moves[i] = activities.PriceChange(p)
		}
		return each(moves)
	})
}

// OnDemandPrice is the list price of an hour on Linux.
func (m *ec2Market) OnDemandPrice(ctx context.Context, region, instanceType string) (activities.ListPrice, error) {
	price, err := m.fleet.OnDemandPrice(ctx, region, instanceType)
	return activities.ListPrice(price), err
}

// ProductPrice is the list price of an hour with a product.
func (m *ec2Market) ProductPrice(
	ctx context.Context, region, instanceType, product string,
) (activities.ListPrice, error) {
	price, err := m.fleet.ProductPrice(ctx, region, instanceType, product)
	return activities.ListPrice(price), err
}

// VolumePrice is the list price of a GB and month.
func (m *ec2Market) VolumePrice(ctx context.Context, region, kind string) (activities.ListPrice, error) {
	price, err := m.fleet.VolumePrice(ctx, region, kind)
	return activities.ListPrice(price), err
}
