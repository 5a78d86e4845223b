package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"spotkeeper/internal/domain/agent"
)

// Input is everything a decision is made from. The caller reads it in one go,
// so that a decision can be repeated from its record.
type Input struct {
	Now      time.Time `json:"now"`
	Agent    Agent     `json:"agent"`
	Instance Instance  `json:"instance"`
	OnDemand Price     `json:"on_demand"` // the reference: instance type and region
	Pools    []Pool    `json:"pools"`     // candidates, the present pool among them
	Limits   Limits    `json:"limits"`
	Activity Activity  `json:"activity"`
	Holds    Blockers  `json:"holds"`
}

// Agent is who the decision is for.
type Agent struct {
	ID         string `json:"id"`
	ClientID   string `json:"client_id"`
	Enabled    bool   `json:"enabled"`
	AutoSwitch bool   `json:"auto_switch"` // whether it is acted on; the decision is the same
}

// Instance is the agent's primary.
type Instance struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	Region     string     `json:"region"`
	AZ         string     `json:"az"`
	Mode       agent.Mode `json:"mode"`
	PoolID     string     `json:"pool_id,omitempty"`
	LaunchedAt time.Time  `json:"launched_at"`
}

// Price is a price in USD per hour, as observed at a time. The zero Price is unknown.
type Price struct {
	USD float64   `json:"usd"`
	At  time.Time `json:"at"`
}

// Pool is one spot pool and what is known of it.
type Pool struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Region string `json:"region"`
	AZ     string `json:"az"`
	Price  Price  `json:"price"`
	// History holds the prices of the last day, oldest first; Price need not
	// be among them.
	History []Price `json:"history,omitempty"`
	// Interruptions covers StatisticsWindow; nil means unknown,
	// which is not the same as none.
	Interruptions *Interruptions `json:"interruptions,omitempty"`
	BlockedUntil  time.Time      `json:"blocked_until,omitzero"` // it had no capacity, or a person blocked it
	BlockedBy     string         `json:"blocked_by,omitempty"`   // the person; empty: it had no capacity
	BlockReason   string         `json:"block_reason,omitempty"` // the person's

	prepared *prepared
}

// Interruptions is how often instances in a pool were interrupted.
type Interruptions struct {
	Count int `json:"count"`
	// InstanceHours is how long instances ran in the pool, all together. Zero
	// means that it was not measured.
	InstanceHours float64 `json:"instance_hours"`
}

// Data older than this is no data.
const (
	MaxPriceAge      = time.Hour
	StatisticsWindow = 30 * day
	clockSkew        = 5 * time.Minute // a price further in the future is ignored
	maxUSD           = 100.0           // the sane range of prices ends here
)

// IsKnown says whether the price is one: finite, positive and within the sane
// range.
func (p Price) IsKnown() bool { return p.USD > 0 && p.USD <= maxUSD && !math.IsNaN(p.USD) }

// IsFresh says whether the price is known and young enough to act on.
func (p Price) IsFresh(now time.Time) bool {
	age := now.Sub(p.At)
	return p.IsKnown() && age <= MaxPriceAge && age >= -clockSkew
}

// Digest identifies the input: equal inputs, equal digests. Histories are the
// bulk of it and go in as bytes, the rest as JSON.
func (in Input) Digest() string {
	sum := sha256.New()
	pools := slices.Clone(in.Pools)
	buffer := make([]byte, 0, 16*300)
	for i := range pools {
		buffer = binary.BigEndian.AppendUint64(buffer[:0], uint64(len(pools[i].History)))
		for _, p := range pools[i].History {
			buffer = binary.BigEndian.AppendUint64(buffer, math.Float64bits(p.USD))
			buffer = binary.BigEndian.AppendUint64(buffer, uint64(p.At.UnixNano()))
		}
		sum.Write(buffer)
		pools[i].History = nil
	}
	in.Pools = pools
	rest, err := json.Marshal(in)
	if err != nil { // a number that JSON cannot say; such an input never moves an agent
		rest = fmt.Appendf(nil, "%+v", in)
	}
	sum.Write(rest)
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// pool finds a candidate.
func (in Input) pool(id string) (Pool, bool) {
	i := slices.IndexFunc(in.Pools, func(p Pool) bool { return p.ID == id })
	if id == "" || i < 0 {
		return Pool{}, false
	}
	return in.Pools[i], true
}

// fits says whether the instance could run in the pool.
func (in Input) fits(p Pool) bool {
	return p.Type == in.Instance.Type && p.Region == in.Instance.Region
}

// savingsAt is the reference minus the price at a place; 0 when either is
// unknown.
func (in Input) savingsAt(mode agent.Mode, poolID string) float64 {
	p, known := in.pool(poolID)
	if mode != agent.Spot || !known || !p.Price.IsKnown() || !in.OnDemand.IsKnown() {
		return 0
	}
	return in.OnDemand.USD - p.Price.USD
}

// activity is the input's, with the time in the pool taken from the instance
// when the caller did not say.
func (in Input) activity() Activity {
	a := in.Activity
	if a.PoolSince.IsZero() && in.Instance.Mode == agent.Spot {
		a.PoolSince = in.Instance.LaunchedAt
	}
	return a
}

// spotPool is the pool of the instance; one on demand has none.
func (i Instance) spotPool() string {
	if i.Mode != agent.Spot {
		return ""
	}
	return i.PoolID
}
