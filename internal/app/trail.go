package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"spotkeeper/internal/postgres/audit"
)

// sealEvery is how soon an entry of the trail is chained, and so how long one could be
// changed without a sign.
const sealEvery = 10 * time.Second

// sealTrail chains the trail's entries, writes each with its hash to the log, and deletes what is older
// than the trail keeps. Each worker does; the database lets one at a time.
func (a *App) sealTrail(ctx context.Context) error {
	store := &audit.Trail{DB: a.DB}
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		for more := true; more; {
			sealed, err := store.Seal(ctx, time.Now())
			if err != nil && ctx.Err() == nil {
				a.Log.WarnContext(ctx, "the trail could not be sealed", "error", err)
			}
			for _, s := range sealed {
				e := s.Entry
				a.Log.InfoContext(ctx, "trail", "hash", hex.EncodeToString(s.Hash), "entry", e.ID, "at", e.At, "type", e.Type, "outcome", e.Outcome,
					"actor", e.Actor, "actor_kind", e.ActorKind,
					"actor_id", e.ActorID, "actor_role", e.ActorRole, "token_id", e.TokenID, "address", e.Address, "request_id", e.RequestID,
					"client_id", e.ClientID, "agent_id", e.AgentID, "message", e.Message)
			}
			more = len(sealed) == audit.SealsAtOnce
		}
		if err := store.Expire(ctx); err != nil && ctx.Err() == nil {
			a.Log.WarnContext(ctx, "what is old stays on the trail", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// VerifyTrail checks the whole chain, and that it has the hashes that were given: any from the
// lines "trail" of the log. Fails with trail.broken.
func (a *App) VerifyTrail(ctx context.Context, hashes []string) error {
	var witnesses [][]byte
	for _, text := range hashes {
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != sha256.Size {
			return fmt.Errorf("%q is not the hash of a line \"trail\" of the log: it has %d hexadecimal digits", text, 2*sha256.Size)
		}
		witnesses = append(witnesses, hash)
	}
	sealed, waiting, err := (&audit.Trail{DB: a.DB}).Verify(ctx, witnesses...)
	if err != nil {
		return err
	}
	a.Log.InfoContext(ctx, "the trail is whole", "sealed", sealed, "waiting", waiting, "witnesses", len(witnesses))
	return nil
}
