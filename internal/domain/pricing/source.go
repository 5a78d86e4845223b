package pricing

// Source is the origin of a price.
type Source string

// Sources. Collector is our own reading of EC2's price history, which includes pools
// without instances. Zone names are mapped per account, so an instance in a pool reports
// its price more accurately.
const (
	Primary          Source = "primary"
	ReplicaAutomatic Source = "replica-automatic"
	ReplicaManual    Source = "replica-manual"
	Collector        Source = "collector"
	Interpolated     Source = "interpolated"
)

// Priority decides between two prices for one bucket: a higher one replaces a
// lower one. An unknown source is 0 and replaces nothing.
func (s Source) Priority() int {
	switch s {
	case Primary:
		return 5
	case ReplicaAutomatic:
		return 4
	case ReplicaManual:
		return 3
	case Collector:
		return 2
	case Interpolated:
		return 1
	default:
		return 0
	}
}

// Confidence is how far a price from the source is trusted, 0 to 1. What was
// interpolated is as good as its method; see Gap.
func (s Source) Confidence() float64 {
	switch s {
	case Primary:
		return 1.00
	case ReplicaAutomatic, ReplicaManual, Collector:
		return 0.95
	case Interpolated:
		return 0.70
	default:
		return 0.50
	}
}
