package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// PrimaryStore lists the primaries to look at and stores what was found.
type PrimaryStore interface {
	Attempts
	// ListWithoutTemplate lists primaries that we launch for and whose template was never read,
	// a client's in turn with those of others, and those first that SweepTemplates
	// tried longest ago.
	ListWithoutTemplate(ctx context.Context, limit int) ([]Primary, error)
	// Missing lists primaries of offline agents about which no notice came, also in
	// the order of SweepMissing.
	Missing(ctx context.Context, limit int) ([]Primary, error)
	// PreflightsDue lists agents whose last preflight is older than a day.
	PreflightsDue(ctx context.Context, limit int) ([]Primary, error)
	// Take takes a notice in, as every door does.
	Take(ctx context.Context, clientID string, n interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error)
	// KeepTemplate stores a template for when its instance is gone.
	KeepTemplate(ctx context.Context, agentID, instanceID string, template json.RawMessage) error
}

// Primary is the instance that an agent runs on, and its place.
type Primary struct {
	AgentID    string
	InstanceID string
	Region     string
	Account    Account
	// Shown says that EC2 has shown the instance to us, and KnownFor how long it has been
	// in the database.
	Shown    bool
	KnownFor time.Duration
}

// isLost says whether a primary that fell silent will not come back by itself: it has
// ended, EC2 has stopped or hibernated it, or EC2, which has shown it before, no
// longer does: EC2 forgets a terminated instance after an hour. An instance that a person has
// stopped is left to that person.
func (x Primary) isLost(seen *CloudInstance) bool {
	switch seen.State {
	case StateTerminated, StateShuttingDown:
		return true
	case StateStopped, StateStopping:
		return strings.HasPrefix(seen.Reason, "Server.")
	case StateAbsent:
		return x.Shown && x.KnownFor > Visibility
	default:
		return false
	}
}

// Primaries watch the instances that agents live on.
type Primaries struct {
	Store     PrimaryStore
	Fleet     Fleet
	Workflows NoticeFollower
	Log       *slog.Logger
	Within    time.Duration // for one primary; zero: ten seconds

	Preflights *Preflights // nil: nothing is checked in calm
	Quotas     *Quotas     // nil: quotas are not
	Scores     *Scores     // nil: placement scores are not read
}

// NoticeFollower is the part of workflows.Client that starts what follows from a
// notice that was taken in.
type NoticeFollower interface {
	FollowNotice(ctx context.Context, taken *roles.TakenNotice) error
}

// What the attempts of the watch are kept under, by instance.
const (
	SweepTemplates = "primary-template"
	SweepMissing   = "primary-missing"
	SweepPreflight = "primary-preflight"
)

// How long a run looks at one primary and at all of one client, and at how many
// clients at once.
const (
	primaryWithin    = 10 * time.Second
	primariesWithin  = 2 * time.Minute
	watchedAtOnce    = 8
	primariesDefault = 100
)

// WatchPrimariesInput bounds a run. Fields are only ever added.
type WatchPrimariesInput struct {
	Limit int `json:"limit,omitempty"` // instances of each sort per run; zero: 100
}

// WatchPrimariesResult counts a run.
type WatchPrimariesResult struct {
	Templates  int `json:"templates"`            // read and remembered
	Lost       int `json:"lost"`                 // found ended without a notice
	Preflights int `json:"preflights,omitempty"` // agents checked in calm
	Quotas     int `json:"quotas,omitempty"`     // regions of accounts whose quotas were checked
	Scores     int `json:"scores,omitempty"`     // types in regions of accounts whose placement scores were read
	Failed     int `json:"failed"`
}

// Counts names the counts for the run's row.
func (r *WatchPrimariesResult) Counts() map[string]int64 {
	return map[string]int64{
		"templates":  int64(r.Templates),
		"lost":       int64(r.Lost),
		"preflights": int64(r.Preflights),
		"quotas":     int64(r.Quotas),
		"scores":     int64(r.Scores),
		"failed":     int64(r.Failed),
	}
}

// WatchPrimaries does two things that cannot wait for an emergency. It notes what
// each new primary was launched with, because one that has ended cannot be asked.
// And it asks EC2 about primaries that fell silent: two minutes of notice are not
// guaranteed, and one that EC2 says has ended is replaced as if a notice had
// come. So is one that EC2 has stopped, or has shown before and shows no more.
// Each effect is keyed by the instance, so it may run again.
func (p *Primaries) WatchPrimaries(ctx context.Context, in WatchPrimariesInput) (*WatchPrimariesResult, error) {
	if in.Limit <= 0 {
		in.Limit = primariesDefault
	}
	out := &watched{}
	primaries, err := p.Store.ListWithoutTemplate(ctx, in.Limit)
	if err != nil {
		return nil, err
	}
	p.forEachClient(ctx, SweepTemplates, primaries, out, func(ctx context.Context, x Primary) error {
		template, err := p.Fleet.Template(ctx, x.Account, x.Region, x.InstanceID)
		if fault.Is(err, replica.InstanceGone) {
			return nil
		}
		if err == nil {
			err = p.Store.KeepTemplate(ctx, x.AgentID, x.InstanceID, template)
			out.count(func(r *WatchPrimariesResult) { r.Templates++ })
		}
		return err
	})
	missing, err := p.Store.Missing(ctx, in.Limit)
	if err != nil {
		return nil, err
	}
	p.forEachClient(ctx, SweepMissing, missing,
		out, func(ctx context.Context, x Primary) error { return p.checkPrimary(ctx, x, out) })
	return &out.WatchPrimariesResult, p.checkInCalm(ctx, in.Limit, out)
}

// checkInCalm runs the preflights that are due: once a day for each agent, and for the quotas
// of each region of an account.
func (p *Primaries) checkInCalm(ctx context.Context, limit int, out *watched) error {
	if p.Preflights == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	due, err := p.Store.PreflightsDue(ctx, limit)
	if err != nil {
		return err
	}
	p.forEachClient(ctx, SweepPreflight, due, out, func(ctx context.Context, x Primary) error {
		_, err := p.Preflights.Run(ctx, "", x.AgentID)
		if err == nil {
			out.count(func(r *WatchPrimariesResult) { r.Preflights++ })
		}
		return err
	})
	if p.Quotas == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	n, err := p.Quotas.CheckDue(ctx, limit)
	out.count(func(r *WatchPrimariesResult) { r.Quotas = n })
	if err != nil || p.Scores == nil {
		return err
	}
	n, err = p.Scores.ReadDue(ctx, limit)
	out.count(func(r *WatchPrimariesResult) { r.Scores = n })
	return err
}

// watched is a result that several count in at once.
type watched struct {
	mu sync.Mutex
	WatchPrimariesResult
}

func (w *watched) count(what func(*WatchPrimariesResult)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what(&w.WatchPrimariesResult)
}

// forEachClient goes through the instances; one that cannot be dealt with is counted, and
// its turn comes again after all others. A client that does not answer delays no
// other.
func (p *Primaries) forEachClient(
	ctx context.Context,
	sweep string,
	list []Primary,
	out *watched,
	do func(context.Context, Primary) error,
) {
	bounds := fairness{atOnce: watchedAtOnce, client: primariesWithin, one: cmp.Or(p.Within, primaryWithin)}
	eachFairly(ctx, list, func(x Primary) string { return x.Account.ClientID },
		bounds, func(ctx context.Context, x Primary) {
			err := p.Store.Tried(ctx, sweep, x.InstanceID)
			if err == nil {
				err = do(ctx, x)
			}
			if err != nil {
				out.count(func(r *WatchPrimariesResult) { r.Failed++ })
				p.Log.WarnContext(ctx, "a primary could not be looked at", "client_id", x.Account.ClientID,
					"agent_id", x.AgentID, "instance_id", x.InstanceID, "error", err)
			}
		})
}

func (p *Primaries) checkPrimary(ctx context.Context, x Primary, out *watched) error {
	seen, err := p.Fleet.State(ctx, x.Account, x.Region, x.InstanceID)
	if err != nil {
		return err
	}
	if !x.isLost(seen) {
		return nil
	}
	n := interruption.Notice{
		AgentID:    x.AgentID,
		InstanceID: x.InstanceID,
		Kind:       interruption.Termination,
		Deadline:   time.Now(),
		Door:       "sweep",
	}
	taken, err := p.Store.Take(ctx, x.Account.ClientID, n, roles.JudgeNotice)
	if err != nil {
		return err
	}
	out.count(func(r *WatchPrimariesResult) { r.Lost++ })
	p.Log.WarnContext(ctx, "a primary ended without a notice", "client_id", x.Account.ClientID, "agent_id", x.AgentID,
		"instance_id", x.InstanceID, "state", seen.State, "reason", seen.Reason)
	return p.Workflows.FollowNotice(ctx, taken) // the sweep follows it when this fails
}
