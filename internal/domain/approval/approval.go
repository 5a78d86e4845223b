// Package approval decides whether a client allows a voluntary move: its rules say per kind of
// move whether it is made, asked about or never made, and its windows say when a move may
// begin. It is pure. Failovers, launches of standbys and switches that a person forces are not
// voluntary and never come here.
package approval

import (
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

// Ways to fail, and reasons that hold a move back.
var (
	BadRules        = fault.Define("approval.bad_rules", fault.Invalid)
	NotFound        = fault.Define("approval.not_found", fault.NotFound)
	AlreadyAnswered = fault.Define("approval.already_answered", fault.Conflict)
	Lapsed          = fault.Define("approval.lapsed", fault.Conflict)
	Outdated        = fault.Define("approval.outdated", fault.Conflict)  // the question is about what is no more
	BadLink         = fault.Define("approval.bad_link", fault.Forbidden) // its signature is wrong, or its webhook was deleted
	NotAllowed      = fault.Define("switch.not_allowed", fault.Conflict) // the client's rules say never
	Awaiting        = fault.Define("switch.awaits_approval", fault.Conflict)
	Rejected        = fault.Define("switch.rejected", fault.Conflict)
	OutsideWindow   = fault.Define("switch.outside_window", fault.Conflict)
)

// Kind is the kind of a voluntary move.
type Kind string

// Kinds. An engine makes the first two.
const (
	ToSpot      Kind = "to_spot"     // to a spot pool
	ToOnDemand  Kind = "to_ondemand" // to on-demand, which costs more
	Requested   Kind = "requested"   // a program asked for it: POST …/issue-switch-command
	Maintenance Kind = "maintenance" // before a change that AWS has scheduled
)

// Kinds lists all of them.
func Kinds() []Kind { return []Kind{ToSpot, ToOnDemand, Requested, Maintenance} }

// KindFor is the kind of an engine's move.
func KindFor(mode agent.Mode) Kind {
	if mode == agent.OnDemand {
		return ToOnDemand
	}
	return ToSpot
}

// Policy is what is done about a kind of move.
type Policy string

// Policies.
const (
	Auto  Policy = "auto"  // it is made
	Ask   Policy = "ask"   // it is made once a person has approved it
	Never Policy = "never" // it is not made
)

// State is where a question stands.
type State string

// States. Pending and approved ones are open.
const (
	Pending    State = "pending"
	Approved   State = "approved"
	IsRejected State = "rejected"
	IsLapsed   State = "lapsed"   // it was not answered, or not carried out, in time
	IsOutdated State = "outdated" // the agent has left the instance that it was about
	Used       State = "used"     // the move was ordered
)

// Bounds of rules.
const (
	MaxWindows    = 20
	LeastWindow   = 15             // minutes: moves are decided every five
	LongestWindow = 7 * 24 * 60    // minutes
	DefaultAnswer = 24 * 60        // minutes
	LeastAnswer   = 15             // minutes
	LongestAnswer = 7 * 24 * 60    // minutes
	quiet         = 24 * time.Hour // a move that was rejected, or not answered, is not asked about again so soon
	timeLayout    = "2006-01-02 15:04 UTC"
)

// Window is a time in which voluntary moves may begin: for some minutes from each time that the
// expression names.
type Window struct {
	Cron    string `json:"cron"` // five fields
	Zone    string `json:"zone"` // of the IANA database; empty: UTC
	Minutes int    `json:"minutes"`
}

// opens is when a window opens next after a time; zero: never.
func (w Window) opens(after time.Time) time.Time {
	s, at, err := w.parse()
	if err != nil {
		return time.Time{}
	}
	return s.Next(after.In(at))
}

func (w Window) parse() (cron.Schedule, *time.Location, error) {
	at, err := time.LoadLocation(w.Zone)
	if err != nil || w.Zone == "Local" {
		return nil, nil, BadRules.New("%q is no time zone: name one of the IANA database, such as Europe/Berlin.", w.Zone)
	}
	p := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	if len(w.Cron) > 100 {
		return nil, nil, BadRules.New("A cron expression has at most 100 characters.")
	}
	s, err := p.Parse(w.Cron)
	if err != nil {
		return nil, nil, BadRules.New("%q is no cron expression of five fields, as in \"0 2 * * 1-5\".", w.Cron)
	}
	if spec, ok := s.(*cron.SpecSchedule); !ok || spec.Location != time.Local {
		return nil, nil, BadRules.New("A window's time zone stands in zone, not in cron.")
	}
	return s, at, nil
}

// isOpen says whether the window is open: it opened within its length before now.
func (w Window) isOpen(now time.Time) bool {
	at := w.opens(now.Add(-time.Duration(w.Minutes) * time.Minute))
	return !at.IsZero() && !at.After(now)
}

// Rules are what a client allows. The zero Rules allow everything.
type Rules struct {
	Policies      map[Kind]Policy `json:"policies"` // one that is missing is auto
	AnswerMinutes int             `json:"answer_minutes"`
	Windows       []Window        `json:"windows"` // none: at any time
}

// PolicyOf is what is done about a kind of move.
func (r Rules) PolicyOf(k Kind) Policy {
	if p := r.Policies[k]; p != "" {
		return p
	}
	return Auto
}

// Validate judges rules before they are set. Fails with approval.bad_rules.
func (r Rules) Validate(now time.Time) error {
	for k, p := range r.Policies {
		if !slices.Contains(Kinds(), k) {
			return BadRules.New("%q is no kind of voluntary move: it is to_spot, to_ondemand, requested or maintenance.", k)
		}
		if p != Auto && p != Ask && p != Never {
			return BadRules.New("%q is no policy: it is auto, ask or never.", p)
		}
	}
	if r.AnswerMinutes < LeastAnswer || r.AnswerMinutes > LongestAnswer {
		return BadRules.New("answer_minutes must be between %d and %d.", LeastAnswer, LongestAnswer)
	}
	if len(r.Windows) > MaxWindows {
		return BadRules.New("A client has at most %d windows.", MaxWindows)
	}
	for _, w := range r.Windows {
		if w.Minutes < LeastWindow || w.Minutes > LongestWindow {
			return BadRules.New("A window is open for %d to %d minutes, because moves are decided every five.", LeastWindow,
				LongestWindow)
		}
		if _, _, err := w.parse(); err != nil {
			return err
		}
		if w.opens(now).IsZero() {
			return BadRules.New("%q names no time within the next five years.", w.Cron)
		}
	}
	return nil
}

// IsOpen says whether a voluntary move may begin now, and when the next window opens
// otherwise; zero: never.
func (r Rules) IsOpen(now time.Time) (open bool, next time.Time) {
	if len(r.Windows) == 0 {
		return true, time.Time{}
	}
	for _, w := range r.Windows {
		if w.isOpen(now) {
			return true, time.Time{}
		}
		if at := w.opens(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return false, next.UTC()
}

// ValidUntil is how long an approval of now may be carried out: for as long as a question
// waits for its answer, and at least until the end of the next window.
func (r Rules) ValidUntil(now time.Time) time.Time {
	until := now.Add(r.answerTime())
	open, _ := r.IsOpen(now)
	if open {
		return until
	}
	var end time.Time
	for _, w := range r.Windows {
		at := w.opens(now)
		if at.IsZero() {
			continue
		}
		if at = at.Add(time.Duration(w.Minutes) * time.Minute); end.IsZero() || at.Before(end) {
			end = at
		}
	}
	if end.After(until) {
		return end.UTC()
	}
	return until
}

func (r Rules) answerTime() time.Duration {
	if r.AnswerMinutes == 0 {
		return DefaultAnswer * time.Minute
	}
	return time.Duration(r.AnswerMinutes) * time.Minute
}

// Move is a voluntary move.
type Move struct {
	Kind       Kind
	InstanceID string // the primary that the agent leaves
	Mode       agent.Mode
	PoolID     string // empty on demand
}

// Approval is a question about a move, with its answer.
type Approval struct {
	ID         string     `json:"id"`
	Kind       Kind       `json:"kind"`
	State      State      `json:"state"`
	InstanceID string     `json:"instance_id"`
	Mode       agent.Mode `json:"mode"`
	PoolID     string     `json:"pool_id,omitempty"`
	ExpiresAt  time.Time  `json:"expires_at"`
	AnsweredAt time.Time  `json:"answered_at,omitzero"`
	AnsweredBy string     `json:"answered_by,omitempty"`
}

// isOpen says whether the question may still lead to a move.
func (a Approval) isOpen(now time.Time) bool {
	return (a.State == Pending || a.State == Approved) && now.Before(a.ExpiresAt)
}

// Covers says whether the question is about the move. The place of one before maintenance is
// chosen when it is made, so it is not compared.
func (a Approval) Covers(m Move) bool {
	return a.Kind == m.Kind && a.InstanceID == m.InstanceID &&
		(m.Kind == Maintenance || a.Mode == m.Mode && a.PoolID == m.PoolID)
}

// asksAgainAt is when the same move may be asked about again after this question.
func (a Approval) asksAgainAt() time.Time {
	switch {
	case a.State == IsRejected:
		return a.AnsweredAt.Add(quiet)
	case a.AnsweredAt.IsZero() && a.State != IsOutdated:
		return a.ExpiresAt.Add(quiet)
	}
	return time.Time{}
}

// Place says where the move goes.
func Place(mode agent.Mode, poolID string) string {
	if mode == agent.Spot {
		return poolID
	}
	return "on-demand"
}

// Consent is a client's rules with the latest questions about one agent.
type Consent struct {
	Rules

	Approvals []Approval `json:"approvals,omitempty"`
}

// Open returns the open question about a kind of move from an instance.
func (c *Consent) Open(now time.Time, kind Kind, instanceID string) (Approval, bool) {
	if c == nil {
		return Approval{}, false
	}
	for _, a := range c.Approvals {
		if a.Kind == kind && a.InstanceID == instanceID && a.isOpen(now) {
			return a, true
		}
	}
	return Approval{}, false
}

// Verdict is what becomes of a move that nothing else forbids.
type Verdict struct {
	// Refusal says why it is not made; nil: it is.
	Refusal error
	// Ask says that a person is to be asked about it. Refusal is nil then.
	Ask bool
	// Use is the approval that it is made by.
	Use *Approval
}

// Judge judges a move. A nil Consent is that of a client without rules.
func (c *Consent) Judge(now time.Time, m Move) Verdict {
	if c == nil {
		return Verdict{}
	}
	var use *Approval
	switch c.PolicyOf(m.Kind) {
	case Never:
		return Verdict{Refusal: NotAllowed.New("The client's rules allow no move of the kind %s.", m.Kind)}
	case Ask:
		a, open := c.Open(now, m.Kind, m.InstanceID)
		switch {
		case open && a.State == Approved && a.Covers(m):
			use = &a
		case open && a.State == Approved:
			return Verdict{Refusal: Awaiting.New("The move to %s was approved by %s, and not this one to %s.",
				Place(a.Mode, a.PoolID), a.AnsweredBy, Place(m.Mode, m.PoolID)).With("approval_id", a.ID)}
		case open:
			return Verdict{Refusal: AwaitingFor(a)}
		}
		if use == nil {
			return c.askAbout(now, m)
		}
	}
	if open, next := c.IsOpen(now); !open {
		return Verdict{Refusal: OutsideWindow.New("Voluntary moves of this client wait for a window: the next one opens at %s.",
			next.Format(timeLayout)).With("opens_at", next)}
	}
	return Verdict{Use: use}
}

// askAbout has a person asked, unless the same move was rejected or not answered a short while
// ago.
func (c *Consent) askAbout(now time.Time, m Move) Verdict {
	for _, a := range c.Approvals {
		if again := a.asksAgainAt(); a.Covers(m) && now.Before(again) && !a.isOpen(now) {
			if a.State == IsRejected {
				return Verdict{Refusal: Rejected.New("The move to %s was rejected by %s; it is asked about again after %s.",
					Place(a.Mode, a.PoolID), a.AnsweredBy, again.UTC().Format(timeLayout)).With("approval_id", a.ID)}
			}
			return Verdict{Refusal: Rejected.New("The move to %s was not approved in time; it is asked about again after %s.",
				Place(a.Mode, a.PoolID), again.UTC().Format(timeLayout)).With("approval_id", a.ID)}
		}
	}
	return Verdict{Ask: true}
}

// AwaitingFor is the refusal of a move while a question is not answered.
func AwaitingFor(a Approval) error {
	return Awaiting.New("The move to %s waits for approval until %s.", Place(a.Mode, a.PoolID),
		a.ExpiresAt.UTC().Format(timeLayout)).With("approval_id", a.ID)
}

// Sentences say which open questions there are about an agent on an instance.
func (c *Consent) Sentences(now time.Time, instanceID string) []string {
	if c == nil {
		return nil
	}
	var out []string
	for _, a := range c.Approvals {
		switch {
		case a.InstanceID != instanceID || !a.isOpen(now):
		case a.State == Approved:
			out = append(out, fmt.Sprintf(
				"The move to %s was approved by %s; it is made while it is still worth it, until %s at the latest.",
				Place(a.Mode, a.PoolID), a.AnsweredBy, a.ExpiresAt.UTC().Format(timeLayout)))
		default:
			out = append(out, fmt.Sprintf("The move to %s waits for approval (%s); without an answer until %s the agent stays.",
				Place(a.Mode, a.PoolID), a.ID, a.ExpiresAt.UTC().Format(timeLayout)))
		}
	}
	if open, next := c.IsOpen(now); !open {
		out = append(out, "Voluntary moves wait for a window: the next one opens at "+next.Format(timeLayout)+".")
	}
	return out
}
