package e2e

import (
	"context"
	"flag"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

var upgradeFrom = flag.String("upgrade-from", "",
	"directory with the spotkeeper-api and spotkeeper-worker that TestRollingUpgrade begins with; "+
		"without it they are those of the sources (make upgrade FROM=<tag> builds those of a tag)")

// TestRollingUpgrade replaces worker and api one after the other while agents move, as
// docs/postgres.md says: schema, workers, apis. Agents see no error at all, nothing is
// lost and nothing done twice.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	const agents, moves = 20, 60
	s := devtest.Start(t, devtest.Options{Release: *upgradeFrom})
	ctx := deadline(t, 10*time.Minute)
	f := newFleet(t, s, newTenant(t, s))
	balancer := balance(t, s)
	members := joinAll(ctx, t, f, agents)
	f.answers = &tally{counts: map[string]int{}}
	made := &tally{counts: map[string]int{}}
	upgraded := make(chan error, 1)
	go func() { upgraded <- rollOut(ctx, t, s, balancer, made, moves/4) }()
	require.NoError(t, travelAll(ctx, members, moves, made))
	require.NoError(t, <-upgraded)
	t.Logf("%d moves: %v; answers: %v", moves, made, f.answers)
	settleAndAudit(ctx, t, f, 3*time.Minute, agents, moves)
	for _, bad := range []string{"no answer", "500", "502", "503", "504"} {
		require.Zero(t, f.answers.of(bad), bad)
	}
}

// balancer leads new requests to one api, as a service does whose pods become ready and
// are taken out before they are stopped.
type balancer struct{ to atomic.Pointer[url.URL] }

// balance puts a balancer before the stack's api.
func balance(t *testing.T, s *devtest.Stack) *balancer {
	t.Helper()
	b := &balancer{}
	require.NoError(t, b.lead(s.API))
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(b.to.Load())
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(server.Close)
	s.API = server.URL
	return b
}

func (b *balancer) lead(address string) error {
	to, err := url.Parse(address)
	b.to.Store(to)
	return err
}

// rollOut replaces the stack's processes after a number of moves.
func rollOut(ctx context.Context, t *testing.T, s *devtest.Stack, b *balancer, made *tally, after int) error {
	if err := until(ctx, 20*time.Millisecond, func() (bool, error) { return made.total() >= after, nil }); err != nil {
		return err
	}
	begun := time.Now()
	if err := s.Upgrade(ctx); err != nil {
		return err
	}
	if _, err := s.Beside(ctx, devtest.Worker, "worker-new", nil); err != nil {
		return err
	}
	if err := s.Stop(ctx, devtest.Worker); err != nil {
		return err
	}
	address, err := s.BesideAPI(ctx, "api-new", nil)
	if err != nil {
		return err
	}
	if err := b.lead(address); err != nil {
		return err
	}
	if err := s.Stop(ctx, devtest.API); err != nil {
		return err
	}
	t.Logf("schema, worker and api were replaced within %s, after %d moves of %d", time.Since(begun).Round(time.Millisecond),
		after, made.total())
	return nil
}
