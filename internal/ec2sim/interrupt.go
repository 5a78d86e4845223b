package ec2sim

import (
	"math"
	"slices"
	"time"

	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/ec2sim/derive"
)

const usualNotice = 120.0 // seconds

// interrupt schedules a signal for an instance, or for all live spot instances of a pool.
func (w *world) interrupt(in client.Interruption, now time.Time) ([]string, error) {
	if in.Kind != client.Rebalance && in.Kind != client.Notice && in.Kind != client.Terminate && in.Kind != client.Retire {
		return nil, invalid("There is no kind of interruption %q.", in.Kind)
	}
	if in.InSeconds < 0 || in.NoticeSeconds < 0 {
		return nil, invalid("An interruption lies in the future.")
	}
	hit, err := w.victims(in, now)
	if err != nil {
		return nil, err
	}
	at := now.Add(seconds(in.InSeconds))
	notice := in.NoticeSeconds
	if notice == 0 {
		notice = w.noticeTime()
	}
	ids := []string{}
	for _, i := range hit {
		switch in.Kind {
		case client.Rebalance:
			i.Rebalance = at
		case client.Notice:
			i.Notice = at
			w.take(i, at.Add(seconds(notice)))
		case client.Terminate:
			w.take(i, at)
		case client.Retire:
			i.stop(at, seconds(w.set().Delays.Stopping), reasonRetired)
		}
		w.instances.touch(i.ID)
		ids = append(ids, i.ID)
	}
	return ids, nil
}

func (w *world) noticeTime() float64 {
	if n := w.set().Delays.Notice; n > 0 {
		return n
	}
	return usualNotice
}

func (w *world) victims(in client.Interruption, now time.Time) ([]*instance, error) {
	var out []*instance
	if in.InstanceID != "" {
		i, ok := w.instances.rows[in.InstanceID]
		switch {
		case !ok:
			return nil, fail("InvalidInstanceID.NotFound", "There is no instance %s.", in.InstanceID)
		case i.Market != client.Spot && in.Kind != client.Retire:
			return nil, invalid("The instance %s is on-demand: EC2 does not interrupt it.", i.ID)
		case i.state(now) != pending && i.state(now) != running:
			return nil, fail("IncorrectInstanceState", "The instance %s is %s.", i.ID, i.state(now))
		}
		return append(out, i), nil
	}
	if _, _, _, ok := splitPool(in.Pool); !ok {
		return nil, invalid("An interruption names an instance or a pool; there is no pool %q.", in.Pool)
	}
	w.alive(now, func(i *instance) {
		if i.Market == client.Spot && i.pool() == in.Pool {
			out = append(out, i)
		}
	})
	slices.SortFunc(out, func(a, b *instance) int { return int(a.Seq - b.Seq) })
	return out, nil
}

// take plans the moment at which EC2 takes the instance back.
func (w *world) take(i *instance, at time.Time) {
	d := w.set().Delays
	i.Interrupt = at
	if i.Behaviour == "terminate" {
		if i.End.After(at) || i.EndReason == reasonInterrupted { // a new plan replaces the old one
			i.End = time.Time{}
		}
		i.end(at, seconds(d.ShuttingDown), reasonInterrupted)
		return
	}
	i.stop(at, seconds(d.Stopping), reasonInterruptedStop)
}

// reclaim gives notice to the newest spot instances of a pool above its limit.
func (w *world) reclaim(pool string, limit int, now time.Time) ([]string, error) {
	live, err := w.victims(client.Interruption{Pool: pool}, now)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, i := range live[min(max(limit, 0), len(live)):] {
		one, err := w.interrupt(client.Interruption{InstanceID: i.ID, Kind: client.Notice}, now)
		if err != nil {
			return nil, err
		}
		ids = append(ids, one...)
	}
	return ids, nil
}

// plan draws, at the launch, when the instance will be interrupted by itself.
// The hazard falls with age as it was measured, 0.20 + 0.43·exp(-age/1 h) per
// hour; every second instance gets a rebalance recommendation 10 to 20 minutes
// before its notice, and one in ten gets one that comes to nothing.
func (w *world) plan(i *instance) {
	factor := w.set().Hazard
	if factor <= 0 {
		return
	}
	key := derive.MixWords(uint64(w.set().Seed), uint64(i.Seq)) ^ derive.HashText(i.pool())
	draw := func(n uint64) float64 { return unit(derive.MixWords(key, n)) }
	hours := lifetime(draw(1), factor)
	notice := i.Launched.Add(time.Duration(hours * float64(time.Hour)))
	if draw(2) < 0.5 {
		early := time.Duration((10 + 10*draw(3)) * float64(time.Minute))
		i.Rebalance = later(i.Running, notice.Add(-early))
	} else if draw(4) < 0.1 {
		i.Rebalance = i.Launched.Add(time.Duration(draw(5) * hours * float64(time.Hour)))
	}
	i.Notice = later(i.Running, notice)
	w.take(i, i.Notice.Add(seconds(w.noticeTime())))
}

// lifetime is the age in hours at which the accumulated hazard reaches what was drawn.
func lifetime(u, factor float64) float64 {
	want := -math.Log(1-u) / factor
	low, high := 0.0, 1e4
	for range 60 {
		mid := (low + high) / 2
		if 0.20*mid+0.43*(1-math.Exp(-mid)) < want {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// metadata is what the instance itself can read at a moment.
func (w *world) metadata(i *instance, now time.Time) client.Metadata {
	out := client.Metadata{
		InstanceID:       i.ID,
		InstanceType:     i.Type,
		AvailabilityZone: i.Zone,
		Region:           i.Region,
		Account:          i.Account,
		ImageID:          i.Image,
		LifeCycle:        "on-demand",
		LocalIPv4:        i.PrivateIP,
		PublicIPv4:       w.publicIP(i, now),
		State:            i.state(now),
		Profile:          i.Profile,
		Started:          i.Launched,
	}
	if i.Market == client.Spot {
		out.LifeCycle = "spot"
	}
	if reached(i.Notice, now) && i.Behaviour != "hibernate" { // hibernation gives no warning
		out.Spot = &client.SpotAction{Action: i.Behaviour, Time: i.Interrupt.Truncate(time.Second)}
	}
	if reached(i.Rebalance, now) {
		out.Rebalance = &client.RebalanceEvent{NoticeTime: i.Rebalance.Truncate(time.Second)}
	}
	return out
}
