package imds_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/imds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T) (*boxtest.IMDS, *imds.Client, *clock) {
	t.Helper()
	f := boxtest.StartIMDS(t, "i-1")
	now := &clock{now: time.Now()}
	c := imds.New(imds.Options{Endpoint: f.URL, Now: now.read, Timeout: 200 * time.Millisecond})
	t.Cleanup(c.Close)
	return f, c, now
}

func TestTokenIsKeptAndRenewedAtFourFifths(t *testing.T) {
	t.Parallel()
	f, c, now := start(t)
	read := func() {
		t.Helper()
		text, err := c.Text(t.Context(), "meta-data/instance-id")
		require.NoError(t, err)
		require.Equal(t, "i-1", text)
	}
	for range 5 {
		read()
	}
	require.Equal(t, 1, f.Granted(), "one token serves many reads")
	now.move(6*time.Hour*4/5 - time.Minute)
	read()
	require.Equal(t, 1, f.Granted())
	now.move(2 * time.Minute)
	read()
	require.Equal(t, 2, f.Granted(), "it is renewed before it ends")
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	f, c, _ := start(t)
	_, err := c.Text(t.Context(), "meta-data/instance-id")
	require.NoError(t, err)
	f.Revoke()
	text, err := c.Text(t.Context(), "meta-data/instance-id")
	require.NoError(t, err)
	require.Equal(t, "i-1", text)
	require.Equal(t, 2, f.Granted())
}

func TestRenewalThatFailsLeavesTheTokenInUse(t *testing.T) {
	t.Parallel()
	f, c, now := start(t)
	_, err := c.Text(t.Context(), "meta-data/instance-id")
	require.NoError(t, err)
	f.RefuseTokens(http.StatusServiceUnavailable)
	now.move(5 * time.Hour)
	_, err = c.Text(t.Context(), "meta-data/instance-id")
	require.NoError(t, err, "the token is due, not expired")
	now.move(2 * time.Hour)
	_, err = c.Text(t.Context(), "meta-data/instance-id")
	require.Error(t, err)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	f, c, _ := start(t)
	_, err := c.Text(t.Context(), imds.InstanceAction)
	require.ErrorIs(t, err, imds.ErrAbsent)

	f.Fail(1)
	_, err = c.Text(t.Context(), "meta-data/instance-id")
	var status *imds.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, http.StatusServiceUnavailable, status.Status)
	_, err = c.Text(t.Context(), "meta-data/instance-id")
	require.NoError(t, err, "the next read is as if nothing had been")

	f.Set("meta-data/ami-id", "")
	text, err := c.Text(t.Context(), "meta-data/ami-id")
	require.NoError(t, err)
	require.Empty(t, text)

	f.Hang("meta-data/ami-id")
	_, err = c.Text(t.Context(), "meta-data/ami-id")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestVersionOneIsNeverUsed: where no token is granted nothing is read without one.
func TestVersionOneIsNeverUsed(t *testing.T) {
	t.Parallel()
	f, c, _ := start(t)
	f.RefuseTokens(http.StatusForbidden)
	_, err := c.Text(t.Context(), "meta-data/instance-id")
	require.ErrorContains(t, err, "403")
	require.Zero(t, f.Reads()["meta-data/instance-id"])
}

// TestTokenThatDoesNotArrive is the hop limit of one seen from a container: the PUT is
// answered, and the answer is dropped before it arrives.
func TestTokenThatDoesNotArrive(t *testing.T) {
	t.Parallel()
	f, c, _ := start(t)
	f.Hang("api/token")
	_, err := c.Text(t.Context(), "meta-data/instance-id")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "token")
	require.Zero(t, f.Reads()["meta-data/instance-id"])
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	f, c, _ := start(t)
	f.Clear("meta-data/placement/region") // the path is newer than the others
	id, err := c.Identity(t.Context())
	require.NoError(t, err)
	require.Equal(t, imds.Identity{
		InstanceID:   "i-1",
		InstanceType: "t3.medium",
		Region:       "us-east-1",
		Zone:         "us-east-1a",
		ImageID:      "ami-1",
		PrivateIP:    "10.0.0.10",
		LifeCycle:    "spot",
	}, id)
	f.Clear("meta-data/instance-id")
	_, err = c.Identity(t.Context())
	require.ErrorIs(t, err, imds.ErrAbsent)
}

// TestDeadlineIsByTheServicesClock: a clock that is a minute off moves no deadline.
func TestDeadlineIsByTheServicesClock(t *testing.T) {
	t.Parallel()
	f, c, now := start(t)
	for _, ahead := range []time.Duration{0, time.Minute, -time.Minute} {
		f.SetClock(ahead)
		f.Interrupt("terminate", now.read().Add(ahead+2*time.Minute))
		answer, err := c.Get(t.Context(), imds.InstanceAction)
		require.NoError(t, err)
		action, err := imds.ParseAction(answer.Text)
		require.NoError(t, err)
		require.InDelta(t, 120, answer.Left(action.Time).Seconds(), 30)
	}
}

func TestParseAction(t *testing.T) {
	t.Parallel()
	action, err := imds.ParseAction(`{"action": "terminate", "time": "2026-11-28T16:42:07Z"}`)
	require.NoError(t, err)
	require.Equal(t, imds.Action{Action: "terminate", Time: time.Date(2026, 11, 28, 16, 42, 7, 0, time.UTC)}, action)
	for _, text := range []string{"", "{}", "null", `{"action":"terminate"}`, `{"time":"2026-11-28T16:42:07Z"}`,
		`{"action":"stop","time":"soon"}`, "<html>"} {
		_, err := imds.ParseAction(text)
		require.Error(t, err, text)
	}
}

// TestWatchesAreApart: a path that hangs, and one that fails, delay no other.
func TestWatchesAreApart(t *testing.T) {
	t.Parallel()
	f, c, _ := start(t)
	f.Hang(imds.Rebalance)
	ctx, cancel := context.WithCancel(t.Context())
	var found, absent, failed atomic.Int64
	var all sync.WaitGroup
	nothing := func(imds.Answer) {}
	all.Go(func() {
		c.Watch(ctx, imds.Rebalance, time.Millisecond, nothing, func() {}, func(err error) {
			if err != nil {
				failed.Add(1)
			}
		})
	})
	all.Go(func() {
		c.Watch(ctx, imds.InstanceAction,
			time.Millisecond, func(imds.Answer) { found.Add(1) }, func() { absent.Add(1) }, func(error) {})
	})
	require.Eventually(t, func() bool { return absent.Load() > 20 && failed.Load() > 0 }, 10*time.Second,
		time.Millisecond)
	f.Interrupt("terminate", time.Now().Add(2*time.Minute))
	require.Eventually(t, func() bool { return found.Load() > 0 }, 10*time.Second, time.Millisecond)
	cancel()
	all.Wait()
}
