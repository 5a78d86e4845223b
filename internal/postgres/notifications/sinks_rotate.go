package notifications

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/postgres/pg"
)

// RotateSecret gives a webhook a new secret and writes the event. Until the old secret
// expires, deliveries are signed with it as well; with no overlap it is forgotten at once.
// Called twice it makes two secrets, and only the last two sign. It returns the new secret,
// and when the one before expires. Fails with sink.not_found and sink.invalid.
func (s *Sinks) RotateSecret(
	ctx context.Context,
	clientID, id string,
	overlap time.Duration,
	by string,
) (secret string, until time.Time, err error) {
	if secret, err = notification.NewSecret(rand.Reader); err != nil {
		return "", until, err
	}
	sealed, err := s.seal.Seal(secret, "sink/"+id)
	if err != nil {
		return "", until, err
	}
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var kind notification.Kind
		err := tx.QueryRow(ctx, `
			UPDATE notification_sinks
			SET secret_sealed = CASE kind WHEN 'webhook' THEN $3 ELSE secret_sealed END,
				secret_before_sealed = CASE WHEN $4::float8 > 0 THEN secret_sealed END,
				secret_before_until = now() + make_interval(secs => $4)
			WHERE id = $1 AND client_id = $2
			RETURNING kind, secret_before_until`, id, clientID, sealed, overlap.Seconds()).Scan(&kind, &until)
		if pg.IsNoRows(err) {
			return notification.SinkNotFound.New("Sink not found")
		}
		if err != nil {
			return err
		}
		if kind != notification.Webhook {
			return notification.BadSink.New("Only a webhook has a secret")
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "sink_secret_rotated",
			Severity: "info",
			Actor:    by,
			Message:  "A webhook has a new secret",
			Metadata: map[string]any{
				"before": map[string]any{"sink_id": id},
				"after":  map[string]any{"sink_id": id, "secret_before_until": until},
			},
		})
	})
	return secret, until, err
}

// secretsOf opens the secrets of a sink.
func (s *Sinks) secretsOf(id string, sealed, before []byte) (secret, old string, err error) {
	if secret, err = s.decryptSecret(id, sealed); err != nil {
		return "", "", err
	}
	// A secret that can no longer be read signs nothing; the new one does.
	old, err = s.decryptSecret(id, before)
	if err != nil {
		old = ""
	}
	return secret, old, nil
}
