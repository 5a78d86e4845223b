package intake

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/events"
)

// DescribeDoor is the name of the third door.
const DescribeDoor = "describe"

const (
	claimEvery   = 5 * time.Second
	claimAtOnce  = 4
	surveyWithin = 30 * time.Second
)

// Place is a region of a client's account; of the control plane's own when ClientID is empty.
type Place struct{ ClientID, Region string }

// Sighting is what EC2 shows of an instance.
type Sighting struct {
	State  string
	Marked time.Time // for interruption; zero when it is not
	Action string    // what EC2 does with a marked instance: terminate or stop
}

// Survey is the third door: it asks EC2 about all instances of each place once in Every,
// for clients whose events do not arrive and whose agents are silent.
type Survey struct {
	Store interface {
		// ClaimSurveys gives places that are due, each to one caller. every is in seconds.
		ClaimSurveys(ctx context.Context, limit int, every float64) ([]Place, error)
		InstancesAt(ctx context.Context, p Place) ([]Owner, error)
		Take(ctx context.Context, clientID string, n interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error)
	}
	// See asks EC2. marks is why nothing is known of spot requests, nil when it is.
	See    func(ctx context.Context, a activities.Account, region string, ids []string) (found map[string]Sighting, marks, err error)
	Follow Follower
	Every  time.Duration
	Log    *slog.Logger
	Now    func() time.Time
}

// Run surveys until ctx ends.
func (s *Survey) Run(ctx context.Context) error {
	tick := time.NewTicker(min(claimEvery, s.Every))
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// round surveys the places that are due. A place that does not answer delays no other one,
// and is asked again when it is due again.
func (s *Survey) round(ctx context.Context) {
	places, err := s.Store.ClaimSurveys(ctx, claimAtOnce, s.Every.Seconds())
	if err != nil {
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "no survey: the places are not known", "error", err)
		}
		return
	}
	var all sync.WaitGroup
	for _, p := range places {
		all.Go(func() {
			within, cancel := context.WithTimeout(ctx, surveyWithin)
			defer cancel()
			if err := s.survey(within, p); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "a place could not be surveyed", "client_id", p.ClientID, "region", p.Region,
					"error", err)
			}
		})
	}
	all.Wait()
}

func (s *Survey) survey(ctx context.Context, p Place) error {
	owners, err := s.Store.InstancesAt(ctx, p)
	if err != nil || len(owners) == 0 {
		return err
	}
	ids := make([]string, len(owners))
	for n, o := range owners {
		ids[n] = o.InstanceID
	}
	seen, marks, err := s.See(ctx, owners[0].Account, p.Region, ids)
	if err != nil {
		return err
	}
	if marks != nil {
		s.Log.WarnContext(ctx, "marks for termination cannot be read", "client_id", p.ClientID, "region", p.Region,
			"error", marks)
	}
	for _, o := range owners {
		deadline, ends := endOf(seen[o.InstanceID], s.Now())
		if !ends {
			continue
		}
		if err := s.take(ctx, o, deadline, seen[o.InstanceID].Action); err != nil {
			return err
		}
	}
	return nil
}

// endOf says whether an instance ends, and when. One that EC2 does not show is left alone:
// not found is not gone.
func endOf(seen Sighting, now time.Time) (deadline time.Time, ends bool) {
	switch {
	case seen.State == activities.StateTerminated, seen.State == activities.StateShuttingDown:
		return now, true
	case !seen.Marked.IsZero():
		return seen.Marked.Add(events.Lead), true
	}
	return time.Time{}, false
}

func (s *Survey) take(ctx context.Context, o Owner, deadline time.Time, action string) error {
	defer s.Follow.BeginNotice()()
	got, err := s.Store.Take(ctx, o.ClientID, interruption.Notice{
		AgentID:    o.AgentID,
		InstanceID: o.InstanceID,
		Kind:       interruption.Termination,
		Deadline:   deadline,
		Door:       DescribeDoor,
		Action:     interruption.ActionOf(action),
		ArrivedAt:  s.Now(),
	}, roles.JudgeNotice)
	if err != nil {
		return err
	}
	s.Follow.Add(got)
	s.Log.InfoContext(ctx, "EC2 shows that an instance ends", "client_id", o.ClientID, "agent_id", o.AgentID,
		"instance_id", o.InstanceID, "deadline", deadline)
	return nil
}
