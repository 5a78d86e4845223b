package ec2sim

import (
	"maps"
	"slices"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

// relaunch brings back what persistent spot requests want: an instance whose request was
// not cancelled comes back when it has ended, whether a person or EC2 ended it. The new one has the
// request's parameters and none of the tags that were set on the old one.
func (w *world) relaunch(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(w.lasting)) {
		old := w.lasting[id]
		if old.Cancelled || !reached(old.Gone, now) || w.free(old.pool(), client.Spot, now) == 0 {
			continue
		}
		delete(w.lasting, id)
		old.Relaunched = true
		w.instances.touch(old.ID)
		w.seq++
		i := *old
		tail := "0" + suffix(16)
		i.Seq, i.ID, i.Token, i.Launch, i.Relaunched = w.seq, "i-"+tail, "", "", false
		i.Data = nil
		d := w.set().Delays
		i.Launched, i.Visible, i.Running = old.Gone, old.Gone, old.Gone.Add(seconds(d.Pending))
		i.Checked = i.Running.Add(seconds(d.Checks))
		i.Stop, i.Stopped, i.StopReason = time.Time{}, time.Time{}, ""
		i.Rebalance, i.Notice, i.Interrupt = time.Time{}, time.Time{}, time.Time{}
		i.End, i.Gone, i.EndReason = time.Time{}, time.Time{}, ""
		w.instances.put(i.ID, &i)
		w.live[i.ID], w.lasting[i.ID] = &i, &i
	}
}

// cancelRequest keeps the request from launching again.
func (w *world) cancelRequest(id string) {
	for _, i := range w.instances.rows {
		if i.SpotRequest == id && !i.Cancelled {
			i.Cancelled = true
			w.instances.touch(i.ID)
		}
	}
}
