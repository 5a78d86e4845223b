package backtest

import (
	"context"
	"fmt"
	"math"
	"time"
)

// foresee plays the market with full knowledge of it: for each agent the
// cheapest course by dynamic programming, interruptions priced as everywhere.
// The oracle keeps no limits, which makes it a bound and not a rival.
func foresee(ctx context.Context, o Options) (Row, error) {
	row := Row{Strategy: Oracle}
	worlds := map[int]*world{}
	for i := range o.Agents {
		if err := ctx.Err(); err != nil {
			return Row{}, fmt.Errorf("the oracle was interrupted: %w", err)
		}
		h := o.home(i)
		kin := o.kin(h.pool)
		w := worlds[kin[0]]
		if w == nil {
			w = newWorld(o, kin, h.reference)
			worlds[kin[0]] = w
		}
		w.plan(i)
		w.follow(h, &row)
	}
	row.Total = row.Bill + row.Disruption
	return row, nil
}

// world is one type's market, tabulated by step, and the plan for one agent in
// it. Places are the pools in order, then on demand.
type world struct {
	o         Options
	kin       []int
	steps     int
	ages      int         // steps until an instance is as old as it matters
	price     [][]float64 // [place][step] USD per hour
	full      [][]bool    // [place][step]
	hits      [][]hit     // [step] losses, in the order the fleet meets them
	reference float64

	hit    []bool  // [step*places+place)*ages+age]: this agent is hit
	choice []int16 // likewise: the place to go to, or stay
	entry  []int16 // [step]: the place to launch in
}

type hit struct{ place, loss int }

const stay = int16(-1)

func newWorld(o Options, kin []int, reference float64) *world {
	w := &world{o: o, kin: kin, reference: reference, steps: int((o.To.Sub(o.From) + o.Step - 1) / o.Step)}
	w.ages = int(2*time.Hour/o.Step) + 1
	places := len(kin) + 1
	w.price, w.full, w.hits = make([][]float64, places), make([][]bool, places), make([][]hit, w.steps)
	for place := range places {
		w.price[place], w.full[place] = make([]float64, w.steps), make([]bool, w.steps)
		for s := range w.steps {
			w.price[place][s] = reference
			if place == len(kin) {
				continue
			}
			now, pool := o.From.Add(time.Duration(s)*o.Step), &o.Market.Pools[kin[place]]
			price, _ := pool.PriceAt(now)
			w.price[place][s], w.full[place][s] = price.USD, !pool.HasCapacity(now)
			losses, first := pool.LossesIn(now, now.Add(o.Step))
			for j := range losses {
				w.hits[s] = append(w.hits[s], hit{place, first + j})
			}
		}
	}
	states := w.steps * places * w.ages
	w.hit, w.choice, w.entry = make([]bool, states), make([]int16, states), make([]int16, w.steps)
	return w
}

func (w *world) at(step, place, age int) int { return (step*len(w.price)+place)*w.ages + age }

// plan works backwards: what the rest costs from every place and age, and so
// what to do there.
func (w *world) plan(agent int) {
	clear(w.hit)
	w.markHit(agent)
	places := len(w.price)
	next, now := make([]float64, places*w.ages), make([]float64, places*w.ages)
	hours, penalty := w.o.Step.Hours(), w.o.InterruptionHours*w.reference
	for s := w.steps - 1; s >= 0; s-- {
		fresh, to := math.Inf(1), 0
		for place := range places {
			older := min(1, w.ages-1)
			if cost := w.price[place][s]*hours + next[place*w.ages+older]; !w.full[place][s] && cost < fresh {
				fresh, to = cost, place
			}
		}
		w.entry[s] = int16(to)
		for place := range places {
			switching := fresh + w.price[place][s]*SwitchOverlap.Hours()
			for age := range w.ages {
				state := w.at(s, place, age)
				staying := w.price[place][s]*hours + next[place*w.ages+min(age+1, w.ages-1)]
				switch {
				case w.hit[state]:
					now[place*w.ages+age] = fresh + w.price[to][s]*FailoverOverlap.Hours() + penalty - w.refund(s,
						place, age)
				case switching < staying:
					now[place*w.ages+age], w.choice[state] = switching, int16(to)
				default:
					now[place*w.ages+age], w.choice[state] = staying, stay
				}
			}
		}
		next, now = now, next
	}
}

// markHit marks the states in which this agent is hit.
func (w *world) markHit(agent int) {
	for s, hits := range w.hits {
		for _, h := range hits {
			for age := 1; age < w.ages; age++ {
				if w.o.Market.Hits(w.kin[h.place], h.loss, agent, time.Duration(age)*w.o.Step) {
					w.hit[w.at(s, h.place, age)] = true
				}
			}
		}
	}
}

// refund is what an instance cost so far when EC2 takes it within its first
// hour.
func (w *world) refund(s, place, age int) float64 {
	if time.Duration(age)*w.o.Step >= freeWithin {
		return 0
	}
	var usd float64
	for back := 1; back <= min(age, s); back++ {
		usd += w.price[place][s-back] * w.o.Step.Hours()
	}
	return usd
}

// follow walks the plan forward and adds up what it costs.
func (w *world) follow(h home, row *Row) {
	place, age := len(w.kin), w.ages-1
	for i, pool := range w.kin {
		if pool == h.pool && !h.onDemand {
			place = i
		}
	}
	for s := range w.steps {
		state := w.at(s, place, age)
		to := int(w.entry[s])
		switch {
		case w.hit[state]:
			row.Interruptions++
			row.Disruption += w.o.InterruptionHours * w.reference
			row.Bill += w.price[to][s]*FailoverOverlap.Hours() - w.refund(s, place, age)
			place, age = to, 0
		case w.choice[state] != stay:
			row.Switches++
			row.Bill += w.price[place][s] * SwitchOverlap.Hours()
			place, age = to, 0
		}
		row.Bill += w.price[place][s] * w.o.Step.Hours()
		if place < len(w.kin) {
			row.spotHours += w.o.Step.Hours()
		}
		age = min(age+1, w.ages-1)
	}
}
