package fleet_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/fleet"
)

// own is a client that lives in our account.
var own = fleet.Account{ClientID: "c1", Own: true}

func request() fleet.LaunchRequest {
	return fleet.LaunchRequest{
		ClientToken: fleet.LaunchToken("r1", "m5.large.us-east-1a", agent.Spot), Region: "us-east-1", Mode: agent.Spot,
		InstanceType: "m5.large", AZ: "us-east-1a", ImageID: "ami-1", Tags: markedFor("c1", nil),
	}
}

// refusing answers every call with one error, as EC2 writes it.
func refusing(status int, code string, calls *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(
			w,
			`<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors><RequestID>1</RequestID></Response>`,
			code,
		)
	}
}

// TestLaunchIsSentOnce: the SDK must not repeat what the workflow answers better.
func TestLaunchIsSentOnce(t *testing.T) {
	t.Parallel()

	for code, c := range map[string]struct {
		status int
		want   fault.Code
	}{
		"InsufficientInstanceCapacity":      {500, replica.NoCapacity},
		"MaxSpotInstanceCountExceeded":      {400, replica.QuotaUsedUp},
		"InsufficientFreeAddressesInSubnet": {400, replica.NoAddresses},
		"RequestLimitExceeded":              {503, replica.Throttled},
		"UnauthorizedOperation":             {403, replica.Refused},
		"InvalidAMIID.NotFound":             {400, replica.Misconfigured},
		"IdempotentInstanceTerminated":      {400, replica.TokenDead},
		"IdempotentParameterMismatch":       {400, replica.TokenReused},
		"InternalError":                     {500, fleet.Unavailable},
		"NobodyKnowsThis":                   {400, replica.Unexplained},
		"NorThis":                           {502, fleet.Unavailable},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			_, err := provider(t, refusing(c.status, code, &calls)).Launch(t.Context(), own, request())
			require.Equal(t, c.want, fault.CodeOf(err), "%v", err)
			require.Equal(t, int32(1), calls.Load())
		})
	}
}

func TestReadsAreRepeatedAFewTimes(t *testing.T) {
	t.Parallel()

	var calls atomic.Int32
	_, err := provider(t, refusing(503, "RequestLimitExceeded", &calls)).Describe(t.Context(), own, "us-east-1",
		[]string{"i-1"})
	require.Equal(t, replica.Throttled, fault.CodeOf(err))
	require.Equal(t, int32(3), calls.Load())
}

// TestDeadlines: an EC2 that never answers costs the deadline and no more. A caller who
// gives up gets its own error, not the one for an unavailable EC2.
func TestDeadlines(t *testing.T) {
	t.Parallel()

	release := make(chan struct{})
	asked := make(chan struct{}, 10)
	silent := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	server := httptest.NewServer(silent)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) }) // before the server is closed, which waits for its handlers
	p := providerAt(
		t,
		server.URL,
		func(o *fleet.Options) { o.CallTimeout, o.LaunchTimeout = 50*time.Millisecond, 50*time.Millisecond },
	)

	_, err := p.Launch(t.Context(), own, request())
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)
	_, err = p.Describe(t.Context(), own, "us-east-1", []string{"i-1"})
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)

	patient := providerAt(t, server.URL)
	for len(asked) > 0 {
		<-asked
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err = patient.Launch(ctx, own, request())
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, fault.CodeOf(err))
}

func TestNoServerThere(t *testing.T) {
	t.Parallel()

	_, err := providerAt(t, "http://127.0.0.1:1").Launch(t.Context(), own, request())
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err))
}

func TestRoleNeedsAnExternalID(t *testing.T) {
	t.Parallel()

	_, err := providerAt(t, "http://127.0.0.1:1").Describe(t.Context(),
		fleet.Account{RoleARN: "arn:aws:iam::111111111111:role/x"}, "us-east-1", []string{"i-1"})
	require.Equal(t, replica.Misconfigured, fault.CodeOf(err))
}

func TestToken(t *testing.T) {
	t.Parallel()

	a := fleet.LaunchToken("r1", "m5.large.us-east-1a", agent.Spot)
	require.Len(t, a, 64)
	require.Equal(t, a, fleet.LaunchToken("r1", "m5.large.us-east-1a", agent.Spot),
		"the same decision is the same token")
	for _, other := range []string{
		fleet.LaunchToken("r2", "m5.large.us-east-1a", agent.Spot),
		fleet.LaunchToken("r1", "m5.large.us-east-1b", agent.Spot),
		fleet.LaunchToken("r1", "m5.large.us-east-1a", agent.OnDemand),
	} {
		require.NotEqual(t, a, other)
	}
	require.Equal(t, "24", a[:2], "tokens are kept in rows and in EC2: the recipe never changes")
}
