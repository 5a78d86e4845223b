package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc/codes"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/frontend"
	"spotkeeper/workflows"
)

// inCloud connects to a frontend that answers calls of its namespace alone.
func inCloud(t *testing.T, c *frontend.Cloud) *workflows.Client {
	t.Helper()
	at := frontend.Serve(t, c)
	tc, err := temporalx.Connect(temporalx.Options{Address: at, Namespace: "ours.acct"})
	require.NoError(t, err)
	t.Cleanup(tc.Close)
	return &workflows.Client{Temporal: tc, Namespace: "ours.acct", Queue: "control"}
}

// TestTemporalCloudIsThere: the health service refuses an API key there, which says
// nothing of the calls that the product makes.
func TestTemporalCloudIsThere(t *testing.T) {
	t.Parallel()

	for _, refuse := range []codes.Code{codes.PermissionDenied, codes.Unimplemented} {
		c := &frontend.Cloud{Refuse: refuse}
		require.NoError(t, inCloud(t, c).Ping(t.Context()), refuse)
	}
}

// TestALongWaitIsNotCutByTemporalCloud: who waits for longer than three looks at
// Temporal gets the answer.
func TestALongWaitIsNotCutByTemporalCloud(t *testing.T) {
	t.Parallel()

	answer, err := converter.GetDefaultDataConverter().ToPayloads(workflows.GuardianState{Phase: "at work"})
	require.NoError(t, err)
	c := &frontend.Cloud{}
	c.Answer = func(ctx context.Context) *common.Payloads {
		for tick := time.NewTicker(10 * time.Millisecond); c.Calls("DescribeNamespace")+c.Calls("Check") < 4; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return nil
			case <-tick.C:
			}
		}
		return answer
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := inCloud(t, c).GuardianState(ctx, "a1")
	require.NoError(t, err)
	require.Equal(t, "at work", got.Phase)
}

// TestARefusalIsSaid: a namespace that is missing, or refuses, is not "away".
func TestARefusalIsSaid(t *testing.T) {
	t.Parallel()

	for code, says := range map[codes.Code]string{
		codes.NotFound:        "has no namespace",
		codes.Unauthenticated: "refuses",
	} {
		err := inCloud(t, &frontend.Cloud{Namespace: code}).Ping(t.Context())
		require.Equal(t, workflows.Unreachable, fault.CodeOf(err))
		require.ErrorContains(t, err, says)
	}
}
