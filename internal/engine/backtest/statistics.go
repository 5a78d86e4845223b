package backtest

import (
	"time"

	"spotkeeper/internal/engine"
)

// statistics counts what a fleet met in a pool, by day, for the window that
// engines get as input.
type statistics struct {
	count int     // today
	hours float64 // today
	past  []engine.Interruptions
	day   time.Time
}

// began spreads what was met before over the days of the window.
func (s *statistics) began(sum engine.Interruptions, now time.Time) {
	s.day = now.Truncate(24 * time.Hour)
	days := int(engine.StatisticsWindow.Hours()/24) - 1
	for i := range days {
		s.past = append(s.past, engine.Interruptions{
			Count:         sum.Count*(i+1)/days - sum.Count*i/days,
			InstanceHours: sum.InstanceHours / float64(days),
		})
	}
}

// turn begins a new day when it is one.
func (s *statistics) turn(now time.Time) {
	today := now.Truncate(24 * time.Hour)
	for ; s.day.Before(today); s.day = s.day.Add(24 * time.Hour) {
		s.past = append(s.past, engine.Interruptions{Count: s.count, InstanceHours: s.hours})
		s.count, s.hours = 0, 0
	}
	if keep := int(engine.StatisticsWindow.Hours()/24) - 1; len(s.past) > keep {
		s.past = s.past[len(s.past)-keep:]
	}
}

// thirtyDays sums the window.
func (s *statistics) thirtyDays() engine.Interruptions {
	sum := engine.Interruptions{Count: s.count, InstanceHours: s.hours}
	for _, d := range s.past {
		sum.Count += d.Count
		sum.InstanceHours += d.InstanceHours
	}
	return sum
}
