package fleet

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

func describing(account, client string) tenantKey {
	return tenantKey{bucketKey{account, "us-east-1", "DescribeInstances"}, client}
}

// TestABucketIsSpentAsEC2Counts: a hundred at once, and then twenty a second.
func TestABucketIsSpentAsEC2Counts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, began := &buckets{}, time.Now()
		for range 100 {
			require.NoError(t, b.take(t.Context(), describing("1", "a")))
		}
		require.Zero(t, time.Since(began))
		for range 40 {
			require.NoError(t, b.take(t.Context(), describing("1", "a")))
		}
		require.InDelta(t, 2, time.Since(began).Seconds(), .01)

		soon, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer stop()
		require.Equal(t, replica.Throttled, fault.CodeOf(b.take(soon, describing("1", "a"))), "not in time: said at once")
		before := time.Now()
		require.NoError(t, b.take(t.Context(), describing("2", "b")), "another account")
		other := describing("1", "a")
		other.api = "DescribeImages"
		require.NoError(t, b.take(t.Context(), other), "another API")
		other.region = "eu-west-1"
		require.NoError(t, b.take(t.Context(), other), "another region")
		for range 20 {
			launch := describing("1", "a")
			launch.api = "RunInstances"
			require.NoError(t, b.take(t.Context(), launch), "a launch never waits")
		}
		require.Equal(t, before, time.Now())
	})
}

// TestTenantsOfAnAccountTakeTurns: one that asks for much delays another by one call.
func TestTenantsOfAnAccountTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &buckets{}
		for range 100 {
			require.NoError(t, b.take(t.Context(), describing("", "a")))
		}
		began := time.Now()
		var greedy sync.WaitGroup
		for range 200 {
			greedy.Go(func() { require.NoError(t, b.take(t.Context(), describing("", "a"))) })
		}
		synctest.Wait()
		require.NoError(t, b.take(t.Context(), describing("", "b")))
		require.LessOrEqual(t, time.Since(began), 100*time.Millisecond)
		greedy.Wait()
		require.InDelta(t, 10, time.Since(began).Seconds(), .1, "and nothing is lost by it")
	})
}

func TestSizesOfBuckets(t *testing.T) {
	t.Parallel()

	for api, want := range map[string]bucketSize{
		"DescribeInstances": {100, 20}, "GetSpotPlacementScores": {100, 20}, "RunInstances": {5, 2},
		"TerminateInstances": {100, 5}, "CreateTags": {100, 10}, "ModifyInstanceAttribute": {50, 5},
		"CancelSpotInstanceRequests": {50, 5},
	} {
		require.Equal(t, want, bucketOf(api), api)
	}
	require.Equal(t, "123456789012", accountNumber(Account{RoleARN: "arn:aws-cn:iam::123456789012:role/spot"}))
	require.Empty(t, accountNumber(Account{Own: true}))
}
