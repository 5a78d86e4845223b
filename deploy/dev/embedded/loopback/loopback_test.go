package loopback_test

import (
	"net"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/deploy/dev/embedded/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestATakenPortIsRefusedInOneSentence(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", loopback.Addr(0))
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port

	_, err = loopback.Claim(port, "api-port")

	var takenError *loopback.TakenError
	require.ErrorAs(t, err, &takenError)
	require.Regexp(t,
		`^port \d+ is already in use: free it or choose another with --api-port \(0 picks a free one\)$`, err.Error())
}

func TestPortZeroIsAnyFreeOne(t *testing.T) {
	t.Parallel()
	port, err := loopback.Claim(0, "api-port")
	require.NoError(t, err)
	require.NotZero(t, port)
}

func TestFreePortsAreDifferent(t *testing.T) {
	t.Parallel()
	ports, err := loopback.Free(20)
	require.NoError(t, err)
	slices.Sort(ports)
	require.Len(t, slices.Compact(ports), 20)
}
