package replica

import "strings"

// Blame says why an instance ended before it ran, as far as EC2's state reason shows.
type Blame string

// Blames.
const (
	BlameUnknown Blame = ""       // a person ended it, or EC2 gives no reason
	BlamePool    Blame = "pool"   // the pool could not keep it: another pool may
	BlameSetup   Blame = "set-up" // what it was launched with: every pool would do the same
	// BlameDoubtful is the set-up by the reason's class, but the reason is not known, or is one
	// that EC2 gives for faults of a pool too: what a second pool does decides.
	BlameDoubtful Blame = "doubtful"
)

// setUps are the reasons that every pool would repeat.
var setUps = []string{"Client.InvalidKMSKey", "Client.VolumeLimitExceeded", "Client.InvalidSnapshot"}

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
	for _, prefix := range setUps {
		if strings.HasPrefix(reason, prefix) {
			return BlameSetup
		}
	}
	switch {
	case strings.HasPrefix(reason, "Server."):
		return BlamePool
	case strings.HasPrefix(reason, "Client."):
		return BlameDoubtful
	default:
		return BlameUnknown
	}
}

// deaths says what the state reason of an instance that ended before it ran means and
// what to do, by the beginning of the reason. The reasons are those of
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch-internal.html.
var deaths = []struct{ reason, words string }{
	{"Client.InvalidKMSKey",
		"the KMS key of a volume is disabled or deleted: enable the KMS key, or make an image with another one"},
	{"Client.InternalError",
		"a volume could not be attached, most often because the instance may not use the KMS key of an encrypted volume: " +
			"let the key's policy admit the account's EC2"},
	{"Client.VolumeLimitExceeded",
		"the account's storage of a volume type is used up: ask for more in Service Quotas, or delete volumes"},
	{"Client.InvalidSnapshot", "the snapshot behind a volume is gone: make a new image"},
	{"Client.", "what it is launched with does not work"},
	{"Server.InsufficientInstanceCapacity", "the pool has run out of capacity"},
	{"Server.InternalError", "EC2 had a fault of its own"},
	{"Server.SpotInstance", "EC2 took it back"},
}

// DeathInWords says what a state reason means and what to do, "" when that is not known.
func DeathInWords(reason string) string {
	for _, d := range deaths {
		if strings.HasPrefix(reason, d.reason) {
			return d.words
		}
	}
	return ""
}
