// Package trail defines the record of who did what: what an entry says, and the chain of
// hashes by which a changed or missing entry shows. It is pure.
package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"spotkeeper/internal/domain/fault"
)

// Broken means that the trail is not what it was when it was sealed.
var Broken = fault.Define("trail.broken", fault.Conflict)

// RetainFor is how long entries are kept. The database refuses to delete younger ones.
const RetainFor = 400 * 24 * time.Hour

// Outcome is how an act went.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"
	Intent  Outcome = "intent"  // it is about to be asked of a workflow
	Refused Outcome = "refused" // the caller may not, or the state forbids it
	Failed  Outcome = "failed"
)

// Request describes the request that made a change: its actor, address and id.
type Request struct {
	ActorKind string // operator, client or agent; empty: the product itself
	ActorID   string
	ActorRole string // of an operator
	TokenID   string // of the credential or the session; empty for static and legacy tokens
	Address   string
	RequestID string
}

type requestKey struct{}

// WithRequest adds a request to the context of what it does.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom is the request that is being served; zero when the product acts by itself.
func RequestFrom(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// Entry is one entry of the trail.
type Entry struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"`
	ClientID  string    `json:"client_id"`
	AgentID   string    `json:"agent_id"`
	Type      string    `json:"type"`
	Outcome   Outcome   `json:"outcome"`
	Actor     string    `json:"actor"`
	ActorKind string    `json:"actor_kind"`
	ActorID   string    `json:"actor_id"`
	ActorRole string    `json:"actor_role,omitempty"` // empty in entries from before there were roles
	TokenID   string    `json:"token_id"`
	Address   string    `json:"address"`
	RequestID string    `json:"request_id"`
	Message   string    `json:"message"`
	Details   string    `json:"details"` // JSON, as the database writes it
}

// Seal is the place of an entry in the chain of its day.
type Seal struct {
	Day     time.Time // in UTC, of the sealing
	Place   int       // from 1
	EntryID int64
	Prev    []byte // the hash before it: of the day, or of the last day that has seals
	Hash    []byte
}

// Genesis is the hash before the first entry of the trail.
func Genesis() []byte { return make([]byte, sha256.Size) }

// DigestEntry is the hash of an entry that follows a hash. Each field is part of it.
func DigestEntry(prev []byte, e Entry) []byte {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	content, err := json.Marshal(e)
	if err != nil {
		panic("trail: an entry has fields that JSON cannot write: " + err.Error()) // it has none
	}
	sum := sha256.Sum256(append(bytes.Clone(prev), content...))
	return sum[:]
}

// SealEntries seals entries in their order, after the last seal there is; last is nil for the
// first of all.
func SealEntries(last *Seal, now time.Time, entries []Entry) []Seal {
	day := now.UTC().Truncate(24 * time.Hour)
	prev, place := Genesis(), 0
	if last != nil {
		prev = last.Hash
		if !last.Day.Before(day) { // the clocks of two processes may differ
			day, place = last.Day, last.Place
		}
	}
	out := make([]Seal, len(entries))
	for i, e := range entries {
		place++
		out[i] = Seal{Day: day, Place: place, EntryID: e.ID, Prev: prev, Hash: DigestEntry(prev, e)}
		prev = out[i].Hash
	}
	return out
}

// SealedEntry is a seal with its entry; Entry is nil when it is gone.
type SealedEntry struct {
	Seal
	Entry *Entry
}

// Verifier checks the chain, one seal after the other, from the oldest.
type Verifier struct{ last *Seal }

// Next checks one seal. The first one is believed to follow what was deleted with its
// time. Fails with trail.broken.
func (v *Verifier) Next(s SealedEntry) error {
	last := v.last
	v.last = &s.Seal
	day := s.Day.Format(time.DateOnly)
	switch {
	case last != nil && !bytes.Equal(last.Hash, s.Prev):
		return Broken.New("%s: entries are missing before place %d", day, s.Place)
	case last != nil && last.Day.Equal(s.Day) && s.Place != last.Place+1, (last == nil || !last.Day.Equal(s.Day)) &&
		s.Place != 1:
		return Broken.New("%s: place %d does not follow the one before it", day, s.Place)
	case s.Entry == nil:
		return Broken.New("%s: the entry %d at place %d is gone", day, s.EntryID, s.Place)
	case !bytes.Equal(DigestEntry(s.Prev, *s.Entry), s.Hash):
		return Broken.New("%s: the entry %d at place %d was changed", day, s.EntryID, s.Place)
	default:
		return nil
	}
}
