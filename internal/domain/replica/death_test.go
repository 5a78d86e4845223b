package replica_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/replica"
)

func TestBlameFor(t *testing.T) {
	t.Parallel()

	for reason, want := range map[string]replica.Blame{
		"Server.InsufficientInstanceCapacity":    replica.BlamePool,
		"Server.InternalError":                   replica.BlamePool,
		"Server.SpotInstanceTermination":         replica.BlamePool,
		"Client.VolumeLimitExceeded":             replica.BlameSetup,
		"Client.InvalidKMSKey.InvalidState":      replica.BlameSetup,
		"Client.InvalidSnapshot.NotFound":        replica.BlameSetup,
		"Client.InternalError":                   replica.BlameDoubtful,
		"Client.SomethingNew":                    replica.BlameDoubtful,
		"Client.UserInitiatedShutdown":           replica.BlameUnknown,
		"Client.UserInitiatedHibernate":          replica.BlameUnknown,
		"Client.InstanceInitiatedShutdown":       replica.BlameUnknown,
		"Client.InstanceTerminated":              replica.BlameUnknown,
		"":                                       replica.BlameUnknown,
		"something that EC2 has not said so far": replica.BlameUnknown,
	} {
		require.Equal(t, want, replica.BlameFor(reason), reason)
	}
}
