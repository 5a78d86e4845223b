package replica

import "strings"

// Blame says why an instance ended before it ran, as far as EC2's state reason shows.
type Blame string

// Blames.
const (
	BlameUnknown Blame = ""       // a person ended it, or EC2 gives no reason
	BlamePool    Blame = "pool"   // the pool could not keep it: another pool may
	BlameSetup   Blame = "set-up" // what it was launched with: every pool would do the same
)

// ended by a person or by the instance itself, not by its set-up.
var byHand = []string{"Client.UserInitiated", "Client.InstanceInitiatedShutdown", "Client.InstanceTerminated"}

// BlameFor judges the state reason of an instance that ended before it ran, such as
// Server.InsufficientInstanceCapacity or Client.VolumeLimitExceeded.
func BlameFor(reason string) Blame {
	for _, prefix := range byHand {
		if strings.HasPrefix(reason, prefix) {
			return BlameUnknown
		}
	}
	switch {
	case strings.HasPrefix(reason, "Server."):
		return BlamePool
	case strings.HasPrefix(reason, "Client."):
		return BlameSetup
	default:
		return BlameUnknown
	}
}
