package engine

import "spotkeeper/internal/domain/fault"

// NotLoaded means that the process which was asked does not hold the session's engine.
var NotLoaded = fault.Define("engine.not_loaded", fault.Unavailable)

// VersionOf is the version of an engine that was uploaded: the beginning of its file's
// SHA-256 in hexadecimal.
func VersionOf(digest string) string { return digest[:min(12, len(digest))] }

// Given are prices that an input has, for where another reader of the same facts has none.
type Given struct {
	OnDemand Price            `json:"on_demand"`
	Pools    map[string]Price `json:"pools"` // by pool
}

// Given lists the input's prices.
func (in Input) Given() Given {
	g := Given{OnDemand: in.OnDemand, Pools: make(map[string]Price, len(in.Pools))}
	for _, p := range in.Pools {
		g.Pools[p.ID] = p.Price
	}
	return g
}

// FillIn sets what the input lacks: a price that is unknown or too old to act on.
func (in *Input) FillIn(g Given) {
	if !in.OnDemand.IsKnown() {
		in.OnDemand = g.OnDemand
	}
	for i := range in.Pools {
		if price, has := g.Pools[in.Pools[i].ID]; has && !in.Pools[i].Price.IsFresh(in.Now) {
			in.Pools[i].Price = price
		}
	}
}
