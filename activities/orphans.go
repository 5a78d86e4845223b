package activities

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"spotkeeper/internal/domain/fault"
)

// SweepPlace is where a sweep looks: one account in one region.
type SweepPlace struct {
	Account Account
	Region  string
}

// Subject is the key of a place in the table of a sweep's attempts.
func (p SweepPlace) Subject() string { return p.Account.ClientID + "/" + p.Region }

// SweepPlaces is the name of the sweep of orphans in the table of attempts.
const SweepPlaces = "orphan-place"

// Suspect is an instance that costs money and has no reason to.
type Suspect struct {
	InstanceID string
	AgentID    string
	Reason     string
	// Ours says that the database has the decision that launched it. An instance that only
	// its tags call ours is reported and left alone: a caller who may tag can lie.
	Ours bool
}

// OrphanStore stores what the sweep of orphans saw and did.
type OrphanStore interface {
	Attempts
	// Places lists every account and region that something of ours may be in,
	// those first that SweepPlaces tried longest ago.
	Places(ctx context.Context) ([]SweepPlace, error)
	// OpenLaunches lists the tokens of attempts to launch whose answer was lost and that
	// nothing repeats, longer than grace ago.
	OpenLaunches(ctx context.Context, p SweepPlace, grace time.Duration) ([]string, error)
	// CloseLaunches records how attempts ended, by token: with the instance that the cloud
	// showed, or with none.
	CloseLaunches(ctx context.Context, p SweepPlace, tokens []string, made map[string]string) error
	// Suspects judges the instances that the cloud showed, by what the database
	// says now.
	Suspects(ctx context.Context, p SweepPlace, seen []CloudInstance) ([]Suspect, error)
	// RecordSightings notes the suspects, forgets those of the client that are no longer suspects,
	// and answers the ids that were suspect before, longer than apart ago.
	RecordSightings(
		ctx context.Context,
		p SweepPlace,
		seen []CloudInstance,
		suspects []Suspect,
		apart time.Duration,
	) ([]string, error)
	// MarkForTermination takes an instance out of every role before it is terminated, in a
	// transaction that judges once more. False: it has found a reason to live.
	MarkForTermination(ctx context.Context, p SweepPlace, instance CloudInstance, s Suspect) (bool, error)
	// RecordTerminated records the end of an orphan and reports the find.
	RecordTerminated(ctx context.Context, p SweepPlace, s Suspect) error
}

// How sure a sweep must be.
const (
	orphanGrace = Visibility      // younger instances are skipped: their row may not be written yet
	orphanApart = 3 * time.Minute // between the two sightings
)

// Orphans find what compensation has missed. They are the second line: each find
// is an event to look into.
type Orphans struct {
	Store OrphanStore
	Fleet Fleet
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now

	Within time.Duration // for one place; zero: a minute
}

// How long a sweep stays in one place and with one client, and with how many
// clients at once.
const (
	placeWithin  = time.Minute
	placesWithin = 5 * time.Minute
	sweptAtOnce  = 8
)

// SweepInput starts a sweep. Fields are only ever added.
type SweepInput struct{}

// SweepResult counts a sweep.
type SweepResult struct {
	Places     int `json:"places"`
	Seen       int `json:"seen"`
	Suspects   int `json:"suspects"`
	Terminated int `json:"terminated"`
	Closed     int `json:"closed"` // attempts to launch whose answer was lost
	Failed     int `json:"failed"` // places or instances that the next sweep must see to
}

// Counts names the counts for the run's row.
func (r *SweepResult) Counts() map[string]int64 {
	return map[string]int64{"places": int64(r.Places), "seen": int64(r.Seen), "suspects": int64(r.Suspects),
		"terminated": int64(r.Terminated), "closed": int64(r.Closed), "failed": int64(r.Failed)}
}

// SweepOrphans compares the cloud with the database, place by place. The cloud is
// listed before the database is read: what was launched in between is then known
// to the second and unknown to the first, which is harmless. An instance is
// terminated when two sweeps in a row found that our tags and our database both
// call it ours and nothing needs it. An attempt to launch that was given up before EC2
// answered is closed by what the cloud shows of its token. A place that cannot be
// reached is counted and left for the next sweep; it delays no other client's. It may
// run again at any point.
func (o *Orphans) SweepOrphans(ctx context.Context, _ SweepInput) (*SweepResult, error) {
	places, err := o.Store.Places(ctx)
	if err != nil {
		return nil, err
	}
	out := &SweepResult{}
	var mu sync.Mutex
	bounds := fairness{atOnce: sweptAtOnce, client: placesWithin, one: cmp.Or(o.Within, placeWithin)}
	eachFairly(ctx, places, func(p SweepPlace) string { return p.Account.ClientID },
		bounds, func(ctx context.Context, p SweepPlace) {
			here := SweepResult{Places: 1}
			err := o.Store.Tried(ctx, SweepPlaces, p.Subject())
			if err == nil {
				err = o.sweep(ctx, p, &here)
			}
			if err != nil {
				here.Failed++
				o.Log.WarnContext(ctx, "a place could not be swept", "client_id", p.Account.ClientID,
					"region", p.Region, "code", fault.CodeOf(err), "error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			out.add(here)
		})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (r *SweepResult) add(x SweepResult) {
	r.Places += x.Places
	r.Seen += x.Seen
	r.Suspects += x.Suspects
	r.Terminated += x.Terminated
	r.Closed += x.Closed
	r.Failed += x.Failed
}

func (o *Orphans) sweep(ctx context.Context, p SweepPlace, out *SweepResult) error {
	if err := o.closeLaunches(ctx, p, out); err != nil {
		return err
	}
	listed, err := o.Fleet.Ours(ctx, p.Account, p.Region, p.Account.ClientID)
	if err != nil {
		return err
	}
	now := time.Now()
	if o.Now != nil {
		now = o.Now()
	}
	byID, seen := map[string]CloudInstance{}, listed[:0:0]
	for _, i := range listed {
		if now.Sub(i.LaunchedAt) > orphanGrace {
			byID[i.ID], seen = i, append(seen, i)
		}
	}
	out.Seen += len(seen)
	suspects, err := o.Store.Suspects(ctx, p, seen)
	if err != nil {
		return err
	}
	out.Suspects += len(suspects)
	certain, err := o.Store.RecordSightings(ctx, p, seen, suspects, orphanApart)
	if err != nil {
		return err
	}
	twice := map[string]bool{}
	for _, id := range certain {
		twice[id] = true
	}
	for _, s := range suspects {
		if !twice[s.InstanceID] || !s.Ours {
			continue
		}
		ended, err := o.end(ctx, p, byID[s.InstanceID], s)
		if err != nil {
			out.Failed++
			o.Log.WarnContext(ctx, "an orphan could not be ended", "client_id", p.Account.ClientID,
				"instance_id", s.InstanceID, "error", err)
		}
		if ended {
			out.Terminated++
		}
	}
	return nil
}

// closeLaunches closes the attempts to launch that were given up before EC2 answered. It
// asks EC2 by their tokens, when all that they may have launched is visible.
func (o *Orphans) closeLaunches(ctx context.Context, p SweepPlace, out *SweepResult) error {
	tokens, err := o.Store.OpenLaunches(ctx, p, Visibility)
	if err != nil || len(tokens) == 0 {
		return err
	}
	made, err := o.Fleet.Launched(ctx, p.Account, p.Region, tokens)
	if err != nil {
		return err
	}
	if err := o.Store.CloseLaunches(ctx, p, tokens, made); err != nil {
		return err
	}
	out.Closed = len(tokens)
	return nil
}

func (o *Orphans) end(ctx context.Context, p SweepPlace, i CloudInstance, s Suspect) (bool, error) {
	condemned, err := o.Store.MarkForTermination(ctx, p, i, s)
	if err != nil || !condemned {
		return false, err
	}
	if err := o.Fleet.Terminate(ctx, p.Account, p.Region, i.ID, i.LaunchedAt); err != nil {
		return false, err
	}
	o.Log.WarnContext(ctx, "an orphan was ended", "client_id", p.Account.ClientID, "agent_id", s.AgentID,
		"instance_id", i.ID, "reason", s.Reason)
	return true, o.Store.RecordTerminated(ctx, p, s)
}
