package fleet

import (
	"crypto/sha256"
	"encoding/hex"

	"spotkeeper/internal/domain/agent"
)

// LaunchToken returns the ClientToken of the attempt to launch a replica in a pool: 64
// hexadecimal digits, EC2's limit. It depends on the decision only, never on a
// workflow run or an activity attempt, so a launch whose answer was lost is found
// again by every retry. Another pool or mode is another token, because EC2
// refuses one token with two sets of parameters.
func LaunchToken(replicaID, poolID string, mode agent.Mode) string {
	sum := sha256.Sum256([]byte("spotkeeper/launch\x00" + replicaID + "\x00" + poolID + "\x00" + string(mode)))
	return hex.EncodeToString(sum[:])
}
