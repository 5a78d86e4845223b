package mlmodel

import (
	"crypto/sha256"
)

// HashBits is how many bits of the hash place an agent; SQL computes the same.
const HashBits = 24

// InCanary says whether a session decides for an agent at some percentage. The
// agent's place depends on the session and the agent alone, so that every process
// agrees, an agent stays when the share grows, and each session tries others first.
func InCanary(sessionID, agentID string, percent int) bool {
	if percent >= 100 {
		return true
	}
	h := sha256.Sum256([]byte(sessionID + "/" + agentID))
	place := uint64(h[0])<<16 | uint64(h[1])<<8 | uint64(h[2])
	return place*100 < uint64(max(percent, 0))<<HashBits
}

// Serving is the models that every process has to serve, as the database says.
type Serving struct {
	Live      []Session // one of each kind at most
	Candidate *Session  // of the rollout that is under way; nil: none
	Phase     Phase     // of that rollout
	Percent   int
}
