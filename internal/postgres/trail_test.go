package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestTheTrailOnlyGrows: entries and seals are not changed, deleted or emptied, also by
// one who may write to the database.
func TestTheTrailOnlyGrows(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t)
	store := &audit.Trail{DB: db}
	ctx := trail.WithRequest(t.Context(), trail.Request{
		ActorKind: "operator",
		ActorID:   "ann",
		TokenID:   "session-1",
		Address:   "192.0.2.1",
		RequestID: "r-1",
	})
	require.NoError(t, pg.RecordEvent(ctx, db.Pool, pg.EventRecord{
		Type:     "job_paused",
		Severity: "info",
		Actor:    "operator:ann",
		Message:  "Paused",
		Metadata: map[string]any{"job": "x"},
	}))
	require.NoError(t, store.Add(ctx, audit.TrailEntry{
		Type:    "job_resumed",
		Outcome: trail.Refused,
		Actor:   "operator:ann",
		Message: "Resume",
	}))
	sealed, err := store.Seal(ctx, time.Now())
	require.NoError(t, err)
	require.Len(t, sealed, 2)
	require.Equal(t, []any{"job_paused", trail.Done, "operator", "ann", "session-1", "192.0.2.1", "r-1"},
		[]any{sealed[0].Entry.Type, sealed[0].Entry.Outcome, sealed[0].Entry.ActorKind, sealed[0].Entry.ActorID, sealed[0].Entry.TokenID,
			sealed[0].Entry.Address, sealed[0].Entry.RequestID})
	require.JSONEq(t, `{"job":"x"}`, sealed[0].Entry.Details)

	for _, harm := range []string{
		`UPDATE trail SET actor = 'operator:bob'`, `DELETE FROM trail`, `TRUNCATE trail`,
		`UPDATE trail_seals SET hash = prev`, `DELETE FROM trail_seals`, `TRUNCATE trail_seals`,
	} {
		_, err := db.Pool.Exec(ctx, harm)
		require.ErrorContains(t, err, "only grows", harm)
	}
	_, err = db.Pool.Exec(ctx, `DELETE FROM events`)
	require.NoError(t, err, "events are pages of a client, and go with it")
	n, waiting, err := store.Verify(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{2, 0}, []int{n, waiting})
}

// TestAChangedTrailShows, also when its owner took the guards away first.
func TestAChangedTrailShows(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]string{
		"an entry is changed": `UPDATE trail SET message = 'nothing' WHERE id = 2`,
		"an entry is gone":    `DELETE FROM trail WHERE id = 2`,
		"an entry and its seal": `
			WITH gone AS (DELETE FROM trail_seals WHERE entry_id = 2) DELETE FROM trail WHERE id = 2`,
		"one was kept out of the chain": `
			WITH more AS (INSERT INTO trail (type, outcome, actor, message) VALUES ('x', 'done', 'x', 'x')) SELECT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := postgrestest.Open(t)
			store := &audit.Trail{DB: db}
			for range 3 {
				require.NoError(t, store.Add(t.Context(), audit.TrailEntry{
					Type:    "t",
					Outcome: trail.Done,
					Actor:   "a",
					Message: "m",
				}))
			}
			_, err := store.Seal(t.Context(), time.Now())
			require.NoError(t, err)
			_, _, err = store.Verify(t.Context())
			require.NoError(t, err)
			_, err = db.Pool.Exec(t.Context(),
				`ALTER TABLE trail DISABLE TRIGGER ALL; ALTER TABLE trail_seals DISABLE TRIGGER ALL; `+harm)
			require.NoError(t, err)
			_, _, err = store.Verify(t.Context())
			require.True(t, fault.Is(err, trail.Broken), "%v", err)
		})
	}
}

// TestATrailThatWasMadeAnewShows: an owner of the database can take the guards away and make a
// chain that is whole. It lacks a hash that has left the database in the log.
func TestATrailThatWasMadeAnewShows(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]string{
		"its end is cut": `DELETE FROM trail_seals WHERE entry_id > 2; DELETE FROM trail WHERE id > 2`,
		"it is sealed again": `
			UPDATE trail SET message = 'nothing' WHERE id = 2;
			DELETE FROM trail_seals;
			INSERT INTO trail_unsealed SELECT id FROM trail`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := postgrestest.Open(t)
			store := &audit.Trail{DB: db}
			for range 3 {
				require.NoError(t, store.Add(t.Context(), audit.TrailEntry{Type: "t", Outcome: trail.Done, Actor: "a", Message: "m"}))
			}
			sealed, err := store.Seal(t.Context(), time.Now())
			require.NoError(t, err)
			shipped := [][]byte{sealed[0].Hash, sealed[2].Hash}
			_, _, err = store.Verify(t.Context(), shipped...)
			require.NoError(t, err)
			_, err = db.Pool.Exec(t.Context(),
				`ALTER TABLE trail DISABLE TRIGGER ALL; ALTER TABLE trail_seals DISABLE TRIGGER ALL; `+harm)
			require.NoError(t, err)
			_, err = store.Seal(t.Context(), time.Now())
			require.NoError(t, err)
			_, _, err = store.Verify(t.Context())
			require.NoError(t, err, "the chain by itself is whole")
			_, _, err = store.Verify(t.Context(), shipped...)
			require.True(t, fault.Is(err, trail.Broken), "%v", err)
		})
	}
}

// TestSealsOfTwoProcessesAreOneChain has four processes write and seal at once.
func TestSealsOfTwoProcessesAreOneChain(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t)
	store := &audit.Trail{DB: db}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				_ = store.Add(context.WithoutCancel(t.Context()), audit.TrailEntry{
					Type:    "t",
					Outcome: trail.Done,
					Actor:   "a",
					Message: "m",
				})
				_, _ = store.Seal(context.WithoutCancel(t.Context()), time.Now())
			}
		})
	}
	wg.Wait()
	_, err := store.Seal(t.Context(), time.Now())
	require.NoError(t, err)
	n, waiting, err := store.Verify(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{40, 0}, []int{n, waiting})
	require.NoError(t, store.Expire(t.Context()))
}
