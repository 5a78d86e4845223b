package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/devtest"
)

var (
	crashSeed   = flag.Uint64("crash-seed", 1, "decides who is killed when in TestCrash")
	crashAgents = flag.Int("crash-agents", 12,
		"agents in TestCrash, at least 5 for every way to move; `make crash` takes 70")
	crashMoves = flag.Int("crash-moves", 30, "moves that the agents of TestCrash make together; `make crash` takes 210")
	crashLead  = flag.Duration("crash-lead", 40*time.Second,
		"from a notice to the end of an instance in TestCrash; `make crash` takes 90s")
	crashLoses = flag.Bool("crash-lose-temporal", false,
		"delete all that Temporal has stored when half of the moves of TestCrash are made")
)

// TestCrash moves agents by failovers, switches and promotions while every part
// but the cloud is killed at random. Clients do what deployed ones do: a call
// that failed is repeated on a timer. In the end nothing is lost, nothing was
// done twice, and no instance runs that no agent needs. With -crash-lose-temporal
// that holds although Temporal forgets everything on the way.
func TestCrash(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	f := newFleet(t, s, newTenant(t, s))
	patience := 3 * time.Minute // until what the last move has left behind is over
	if *crashLoses {
		patience = 10 * time.Minute
	}
	// Killed every other second, progress is slow.
	ctx := deadline(t, 2*patience+sweptWithin+time.Duration(*crashMoves)*4*time.Second)

	members := joinAll(ctx, t, f, *crashAgents)

	begun := time.Now()
	moves := &tally{counts: map[string]int{}}
	k := &killer{
		stack:  s,
		random: rand.New(rand.NewPCG(*crashSeed, 1)),
		killed: map[string]int{},
	} //nolint:gosec // repeatable, not secret
	if *crashLoses {
		k.forget = func() bool { return moves.total() >= *crashMoves/2 }
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	traveling, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go func() {
		err := k.run(ctx, stop)
		if err != nil { // what it has killed stays dead, so the agents would wait for nothing
			giveUp(err)
		}
		stopped <- err
	}()
	failed := travelAll(traveling, members, *crashMoves, moves)
	close(stop)
	require.NoError(t, <-stopped)
	require.NoError(t, failed)
	t.Logf("%d moves in %s: %v; killed %d times: %v", *crashMoves, time.Since(begun).Round(time.Second), moves,
		k.kills(), k.killed)
	require.Positive(t, k.kills())
	require.Equal(t, *crashLoses, k.forgotten)

	settleAndAudit(ctx, t, f, patience, len(members), *crashMoves)
}

// joinAll has a number of agents join, each on a machine of its own.
func joinAll(ctx context.Context, t *testing.T, f *fleet, agents int) []*member {
	t.Helper()
	begun := time.Now()
	members := make([]*member, agents)
	work, joining := errgroup.WithContext(ctx)
	work.SetLimit(16)
	for i := range members {
		work.Go(func() (err error) {
			members[i], err = f.join(joining, fmt.Sprintf("agent-%03d", i), zones[i%len(zones)])
			return err
		})
	}
	require.NoError(t, work.Wait())
	first, err := members[0].state(ctx)
	require.NoError(t, err)
	require.NoError(t, members[0].reportPrices(ctx, first.Primary.ID))
	t.Logf("%d agents joined in %s", len(members), time.Since(begun).Round(time.Second))
	return members
}

// travelAll has the agents make a number of moves together, each agent in its own way.
func travelAll(ctx context.Context, members []*member, moves int, made *tally) error {
	work, moving := errgroup.WithContext(ctx)
	work.SetLimit(24)
	for i, m := range members {
		work.Go(func() error { return m.travel(moving, i, share(moves, len(members), i), made) })
	}
	return work.Wait()
}

// sweptWithin is how long the sweep of orphans needs for what a lost answer left behind: two
// sightings three minutes apart of what is older than the five minutes that EC2 may hide it.
const sweptWithin = 15 * time.Minute

// settleAndAudit waits until what the moves left behind is over, and compares the books. Only
// for attempts to launch whose answer was lost it has the sweep of orphans run.
func settleAndAudit(ctx context.Context, t *testing.T, f *fleet, patience time.Duration, agents, moves int) {
	t.Helper()
	begun, db := time.Now(), openBooks(t, f.Stack)
	require.Eventually(t, func() bool { return len(db.unsettled(ctx)) == 0 }, patience, time.Second, "%v",
		unsettled{db})
	t.Logf("settled after %s", time.Since(begun).Round(time.Second))
	require.NoError(t, until(deadline(t, sweptWithin), 10*time.Second, func() (bool, error) {
		left, err := db.unanswered(ctx, f)
		if err != nil || len(left) == 0 {
			return err == nil, err
		}
		return false, errors.Join(fmt.Errorf("launches %v are open", left), runJob(ctx, f.Stack, db, "orphan-sweep"))
	}))
	require.Empty(t, db.unsettled(ctx))
	db.audit(t, f, agents, moves)
}

// share is how many of the moves the i-th agent makes.
func share(moves, agents, i int) int { return (moves + agents - 1 - i) / agents }

// tally counts by name, from any goroutine.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name]++
}

func (c *tally) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range maps.Values(c.counts) {
		n += m
	}
	return n
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.counts)
}

// travel moves the agent some times, always in the same way.
func (m *member) travel(ctx context.Context, way, times int, moves *tally) error {
	ways := []struct {
		name string
		move func(ctx context.Context, s *agentState) error
	}{{"foretold", m.rebalancedFirst}, {"out of the blue", m.outOfTheBlue}, {"switch", m.switchAway},
		{"standby", m.standbyTakesOver}, {"promotion", m.promoted}}
	chosen := ways[way%len(ways)]
	modes := map[string]any{"terminateWaitMinutes": 1, "autoTerminateEnabled": true}
	if chosen.name == "standby" || chosen.name == "promotion" {
		modes["manualReplicaEnabled"] = true
	}
	if err := m.configure(ctx, modes); err != nil {
		return err
	}
	for range times {
		before, err := m.state(ctx)
		if err != nil {
			return err
		}
		if err := chosen.move(ctx, before); err != nil {
			return fmt.Errorf("%s, %s: %w", m.name, chosen.name, err)
		}
		after, err := m.awaitMove(ctx, before.Primary.ID)
		if err != nil {
			return err
		}
		moves.add(chosen.name)
		// The machine image starts the agent there.
		if err := m.register(ctx, after.Primary.ID, after.Primary.AZ); err != nil {
			return err
		}
	}
	return nil
}

// rebalancedFirst: a rebalance recommendation leaves time for a replica.
func (m *member) rebalancedFirst(ctx context.Context, s *agentState) error {
	if err := m.emergency(ctx, "rebalance-recommendation", s.Primary.ID); err != nil {
		return err
	}
	if _, _, err := m.awaitReady(ctx); err != nil {
		return err
	}
	return m.outOfTheBlue(ctx, s)
}

// outOfTheBlue gives notice without preparation.
func (m *member) outOfTheBlue(ctx context.Context, s *agentState) error {
	_, err := m.notice(ctx, s.Primary.ID, *crashLead)
	return err
}

// standbyTakesOver: manual mode meets a notice.
func (m *member) standbyTakesOver(ctx context.Context, s *agentState) error {
	if _, _, err := m.awaitReady(ctx); err != nil {
		return err
	}
	return m.outOfTheBlue(ctx, s)
}

// promoted: a person promotes the standby. A refusal may mean that the call
// before it, whose answer was lost, did it.
func (m *member) promoted(ctx context.Context, s *agentState) error {
	return until(ctx, again, func() (bool, error) {
		now, replica, err := m.awaitReady(ctx)
		if err != nil || now.Primary.ID != s.Primary.ID {
			return true, err
		}
		err = m.try(ctx, "POST", m.path("/replicas/"+replica+"/promote"),
			map[string]any{"demote_old_primary": now.Epoch%2 == 0}, nil)
		return err == nil, err
	})
}

// switchAway: a person moves the agent, and orders it again when the order came
// to nothing.
func (m *member) switchAway(ctx context.Context, s *agentState) error {
	return until(ctx, 2*again, func() (bool, error) {
		now, err := m.state(ctx)
		switch {
		case err != nil || now.Primary.ID != s.Primary.ID:
			return true, err
		case now.Switch != nil:
			return false, nil
		}
		err = m.forceSwitch(ctx, s.Primary.ID, s.Primary.AZ)
		if refused(err) {
			err = nil // one is under way, or it has moved
		}
		return false, err
	})
}

// killer kills parts at random and starts them again.
type killer struct {
	stack  *devtest.Stack
	random *rand.Rand
	killed map[string]int
	// forget says when Temporal is to lose all it has stored; nil is never.
	forget    func() bool
	forgotten bool
}

func (k *killer) run(ctx context.Context, stop <-chan struct{}) error {
	order := []string{devtest.Postgres, devtest.Temporal, devtest.Worker, devtest.API}
	// Processes of ours die more often than databases.
	urn := []string{devtest.Postgres, devtest.Temporal, devtest.Worker, devtest.Worker, devtest.API, devtest.API}
	for {
		if !k.pause(stop, 200, 1700) {
			return nil
		}
		if k.forget != nil && !k.forgotten && k.forget() {
			k.forgotten = true
			if err := k.stack.LoseTemporal(ctx); err != nil {
				return err
			}
		}
		victims := []string{urn[k.random.IntN(len(urn))]}
		if k.random.IntN(4) == 0 {
			victims = append(victims, urn[k.random.IntN(len(urn))])
		}
		slices.SortFunc(victims, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
		victims = slices.Compact(victims)
		for _, part := range victims {
			if err := k.stack.Kill(part); err != nil {
				return err
			}
			k.killed[part]++
		}
		k.pause(nil, 0, 800)
		for _, part := range victims {
			if err := k.stack.Restart(ctx, part); err != nil {
				return err
			}
		}
	}
}

// pause waits for a random time and says whether to go on.
func (k *killer) pause(stop <-chan struct{}, atLeast, atMost int) bool {
	select {
	case <-stop:
		return false
	case <-time.After(time.Duration(atLeast+k.random.IntN(atMost-atLeast)) * time.Millisecond):
		return true
	}
}

func (k *killer) kills() (n int) {
	for c := range maps.Values(k.killed) {
		n += c
	}
	return n
}
