package fleet

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

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

// TestStormOfOneTenantLeavesLaunchesToAnother: a tenant launches 500 at once in an account that
// it shares, and EC2 refuses most. The launch of another tenant waits for one token, not for
// the 500, and those are done too.
func TestStormOfOneTenantLeavesLaunchesToAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, ec2 := &buckets{}, rate.NewLimiter(2, 5)
		refusal := &smithy.GenericAPIError{Code: "RequestLimitExceeded"}
		launch := func(client string) (attempts int) {
			key := tenantKey{bucketKey{"1", "us-east-1", "RunInstances"}, client}
			for pause := time.Second; ; pause = min(2*pause, 20*time.Second) { // as the workflow does
				attempts++
				if b.take(t.Context(), key) == nil {
					if ec2.Allow() {
						b.answered(key.bucketKey, nil)
						return attempts
					}
					b.answered(key.bucketKey, refusal)
				}
				time.Sleep(pause)
			}
		}
		began := time.Now()
		var storm sync.WaitGroup
		for range 500 {
			storm.Go(func() { launch("a") })
		}
		for range 10 {
			time.Sleep(7 * time.Second)
			asked := time.Now()
			launch("b")
			require.LessOrEqual(t, time.Since(asked), 4*time.Second)
		}
		storm.Wait()
		require.Less(t, time.Since(began).Seconds(), 900.0, "though they come in step, and not five at each of their attempts")
	})
}

// TestLaunchesWaitAfterARefusalAlone: until EC2 refuses one, and again half a minute later.
func TestLaunchesWaitAfterARefusalAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, key := &buckets{}, tenantKey{bucketKey{"1", "us-east-1", "RunInstances"}, "a"}
		b.answered(key.bucketKey, &smithy.GenericAPIError{Code: "RequestLimitExceeded"})
		for range 20 {
			require.NoError(t, b.take(t.Context(), key))
		}
		b.answered(key.bucketKey, &smithy.GenericAPIError{Code: "InsufficientInstanceCapacity"})
		began := time.Now()
		require.NoError(t, b.take(t.Context(), key))
		require.Zero(t, time.Since(began))
		b.answered(key.bucketKey, &smithy.GenericAPIError{Code: "RequestLimitExceeded"})
		require.NoError(t, b.take(t.Context(), key))
		require.Positive(t, time.Since(began))
		for range 40 { // more than fit into the wait of an urgent call
			go func() { _ = b.take(t.Context(), key) }()
		}
		synctest.Wait()
		before := time.Now()
		require.Equal(t, replica.Throttled, fault.CodeOf(b.take(t.Context(), key)))
		require.LessOrEqual(t, time.Since(before), urgentWait)
		time.Sleep(queueFor)
		before = time.Now()
		require.NoError(t, b.take(t.Context(), key))
		require.Zero(t, time.Since(before))
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
