package pricing

// Worth says for what a reported price is used. The market that all clients share is EC2's,
// and no report changes it.
type Worth string

// What reports are worth.
const (
	Counts    Worth = "counts"      // for the client that reported it
	Unproven  Worth = "unproven"    // evidence: the instance is not proven to be the client's
	OtherPool Worth = "other_pool"  // evidence: the instance does not live in the pool
	OutOfBand Worth = "out_of_band" // evidence: too far from EC2's price
)

// BelievedRange bounds a price that counts: at most so many times EC2's price, and at least
// EC2's price divided by it. Names of zones are mapped per account, so the pool that a client
// names may be another one of the same type for us; those differ by less.
const BelievedRange = 2

// Reporter is the stored facts about the instance that reports.
type Reporter struct {
	Proven bool   // EC2 has confirmed that it is the client's
	Pool   string // the spot pool that it lives in; empty on demand
}

// WorthOf says how a price that an instance reports of a pool is used. market is EC2's price
// of the pool at that time, 0 while EC2 has not answered. In that case a proven instance's
// report of its own pool decides, for its client alone.
func WorthOf(r Reporter, pool string, price, market USD) Worth {
	switch {
	case !r.Proven:
		return Unproven
	case r.Pool != pool:
		return OtherPool
	case market > 0 && (price > market*BelievedRange || price*BelievedRange < market):
		return OutOfBand
	default:
		return Counts
	}
}
