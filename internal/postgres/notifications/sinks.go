package notifications

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/sealing"
)

// Sinks stores where clients' notifications are delivered, and what is
// still to be delivered. Secrets are sealed like tokens, bound to their sink.
type Sinks struct {
	DB *pg.DB

	seal sealing.Box
}

// NewSinks takes the 32 bytes that seal secrets.
func NewSinks(db *pg.DB, key []byte) (*Sinks, error) {
	keys, err := sealing.NewKeys(sealing.Key{Secret: key})
	if err != nil {
		return nil, err
	}
	return NewSinksWith(db, keys), nil
}

// NewSinksWith takes all keys of a deployment.
func NewSinksWith(db *pg.DB, keys sealing.Keys) *Sinks {
	return &Sinks{DB: db, seal: keys.BoxFor(accounts.UseSinks)}
}

// SinkView is a sink as its owner sees it. Its secret is shown once, when it is
// made.
type SinkView struct {
	ID              string
	ClientID        string
	Kind            notification.Kind
	URL             string `db:"url"`
	MinSeverity     notification.Severity
	Failures        int
	RetryAfter      *time.Time
	LastError       *string
	LastDeliveredAt *time.Time
	Pending         int
	CreatedAt       time.Time
}

// sinkColumns are what the owner of a sink sees of it.
const sinkColumns = `
	id, client_id, kind, url, min_severity, failures, retry_after, last_error, last_delivered_at, created_at,
	(SELECT count(*)
		FROM notification_deliveries d
		WHERE d.sink_id = notification_sinks.id AND d.state = 'pending') AS pending`

// Sinks lists a client's sinks, oldest first.
func (s *Sinks) Sinks(ctx context.Context, clientID string) ([]SinkView, error) {
	return pg.Find[SinkView](ctx, gorm.G[entity.Sink](s.DB.Gorm).
		Select(sinkColumns).Where("client_id = ?", clientID).Order("created_at, id"))
}

// Create makes a sink with its secret and writes the event. Fails with clients.not_found
// and sink.too_many.
func (s *Sinks) Create(ctx context.Context, clientID string, n notification.NewNotification, by string) (*SinkView, string, error) {
	secret, err := notification.NewSecret(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	id := uuid.NewString()
	sealed, err := s.seal.Seal(secret, "sink/"+id)
	if err != nil {
		return nil, "", err
	}
	var out *SinkView
	err = s.DB.InEntityTx(ctx, func(tx *gorm.DB) error {
		// The client's row makes the count exact: of two that come at once one waits.
		var has []int64
		err := tx.Raw(`
			SELECT (SELECT count(*) FROM notification_sinks WHERE client_id = c.id)
			FROM clients c
			WHERE id = ?
			FOR NO KEY UPDATE`, clientID).Scan(&has).Error
		switch {
		case err != nil:
			return err
		case len(has) == 0:
			return clients.NotFound.New("Client not found")
		case has[0] >= notification.MaxSinks:
			return notification.TooManySinks.New("A client has at most %d sinks: delete one first",
				notification.MaxSinks)
		}
		made := entity.Sink{
			ID: id, ClientID: clientID, Kind: string(n.Kind), URL: n.URL, SecretSealed: sealed,
			MinSeverity: string(n.MinSeverity), CreatedBy: by,
		}
		if err := gorm.G[entity.Sink](tx).Create(ctx, &made); err != nil {
			return err
		}
		out = &SinkView{
			ID: id, ClientID: clientID, Kind: n.Kind, URL: n.URL, MinSeverity: n.MinSeverity, CreatedAt: made.CreatedAt,
		}
		return pg.RecordEntityEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "sink_created",
			Severity: "info",
			Actor:    by,
			Message:  "Notifications from " + string(n.MinSeverity) + " on go to a " + string(n.Kind),
			Metadata: map[string]any{
				"before": nil,
				"after":  map[string]any{"sink_id": id, "kind": n.Kind, "url": n.URL, "min_severity": n.MinSeverity},
			},
		})
	})
	if err != nil {
		return nil, "", err
	}
	return out, secret, nil
}

// Delete removes a sink with its undelivered notifications, and writes the event. Fails with
// sink.not_found.
func (s *Sinks) Delete(ctx context.Context, clientID, id, by string) error {
	return s.DB.InEntityTx(ctx, func(tx *gorm.DB) error {
		var gone []entity.Sink
		err := tx.Clauses(clause.Returning{}).Where("id = ? AND client_id = ?", id, clientID).Delete(&gone).Error
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			return notification.SinkNotFound.New("Sink not found")
		}
		was := map[string]any{
			"sink_id":      id,
			"kind":         gone[0].Kind,
			"url":          gone[0].URL,
			"min_severity": gone[0].MinSeverity,
		}
		return pg.RecordEntityEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID, Type: "sink_deleted", Severity: "warning", Actor: by,
			Message:  "Notifications no longer go to a " + gone[0].Kind,
			Metadata: map[string]any{"before": was, "after": nil},
		})
	})
}

// Target reads where a sink goes, for a test of it. Fails with sink.not_found.
func (s *Sinks) Target(ctx context.Context, clientID, id string) (*activities.SinkTarget, error) {
	found, err := gorm.G[entity.Sink](s.DB.Gorm).Where("id = ? AND client_id = ?", id, clientID).Take(ctx)
	if pg.IsNoRows(err) {
		return nil, notification.SinkNotFound.New("Sink not found")
	}
	if err != nil {
		return nil, pg.Translate(err)
	}
	t := activities.SinkTarget{SinkID: found.ID, Kind: notification.Kind(found.Kind), URL: found.URL}
	before := found.SecretBeforeSealed
	if found.SecretBeforeUntil == nil || !time.Now().Before(*found.SecretBeforeUntil) {
		before = nil
	}
	t.Secret, t.SecretBefore, err = s.secretsOf(id, found.SecretSealed, before)
	return &t, err
}

// Enqueue makes the deliveries of the last day's notifications, one for each sink whose
// settings cover the notification. Deliveries that exist are left alone, so it may run any number of times.
func (s *Sinks) Enqueue(ctx context.Context) (int64, error) {
	tag, err := s.DB.Pool.Exec(ctx, `
		INSERT INTO notification_deliveries (sink_id, notification_id)
		SELECT s.id, n.id FROM notification_sinks s JOIN notifications n ON n.client_id = s.client_id
		WHERE n.created_at > greatest(s.created_at, now() - interval '1 day')
		  AND array_position(ARRAY['info', 'warning', 'error', 'critical'],
		  n.severity) >= array_position(ARRAY['info', 'warning', 'error', 'critical'], s.min_severity)
		  AND NOT EXISTS (SELECT FROM notification_deliveries d WHERE d.sink_id = s.id AND d.notification_id = n.id)
		ON CONFLICT ON CONSTRAINT notification_deliveries_once DO NOTHING`)
	return tag.RowsAffected(), pg.Translate(err)
}

// Claim takes what is due of some sinks, fresh deliveries before those that failed.
// Each client has its turn with one sink before any has a second one; among equals
// those sinks come first that were tried longest ago. What is claimed is not due
// again for the lease, so that a sender that dies delays a delivery and does not
// lose it. A sink whose secret cannot be read fails by itself.
func (s *Sinks) Claim(ctx context.Context, in activities.DueDeliveries) ([]activities.Delivery, error) {
	found, err := s.DB.Pool.Query(ctx, `
		WITH turns AS (
			SELECT s.id, s.tried_at,
				row_number() OVER (PARTITION BY s.client_id ORDER BY s.tried_at NULLS FIRST, s.id) AS turn
			FROM notification_sinks s
			WHERE (s.retry_after IS NULL OR s.retry_after <= now())
				AND s.id <> ALL (coalesce($4::text[], '{}'))
				AND EXISTS (SELECT
					FROM notification_deliveries d
					WHERE d.sink_id = s.id AND d.state = 'pending' AND d.next_at <= now())),
		tried AS (
			UPDATE notification_sinks s
			SET tried_at = clock_timestamp(),
				secret_before_sealed = CASE WHEN secret_before_until > now() THEN secret_before_sealed END
			FROM (SELECT id FROM turns ORDER BY turn, tried_at NULLS FIRST, id LIMIT $3) t
			WHERE s.id = t.id
			RETURNING s.id),
		due AS (
			SELECT d.id
			FROM tried t CROSS JOIN LATERAL (
				SELECT id FROM notification_deliveries
				WHERE sink_id = t.id AND state = 'pending' AND next_at <= now()
				ORDER BY attempts, created_at
				LIMIT $1
				FOR UPDATE SKIP LOCKED) d),
		claimed AS (
			UPDATE notification_deliveries d
			SET attempts = attempts + 1, next_at = now() + $2::float8 * interval '1 second'
			FROM due
			WHERE d.id = due.id
			RETURNING d.id, d.sink_id, d.notification_id, d.attempts)
		SELECT c.id, c.attempts, s.id, s.kind, s.url, s.secret_sealed,
			CASE WHEN s.secret_before_until > now() THEN s.secret_before_sealed END, n.id, n.client_id, n.severity,
			n.message, n.created_at, n.approval_id
		FROM claimed c
		JOIN notification_sinks s ON s.id = c.sink_id
		JOIN notifications n ON n.id = c.notification_id
		ORDER BY s.id, n.created_at, n.id`, in.PerSink, in.Lease.Seconds(), in.Sinks, in.Busy)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (d activities.Delivery, err error) {
		var sealed, before []byte
		if err := row.Scan(&d.ID, &d.Attempts, &d.SinkID, &d.Kind, &d.URL, &sealed, &before, &d.NotificationID,
			&d.ClientID, &d.Severity, &d.Message, &d.At, &d.ApprovalID); err != nil {
			return d, err
		}
		if d.Secret, d.SecretBefore, err = s.secretsOf(d.SinkID, sealed, before); err != nil {
			d.Fault = notification.NotDelivered.Wrap(err,
				"The secret of the webhook cannot be read. Make the webhook anew.")
		}
		return d, nil
	})
	return out, pg.Translate(err)
}

// Release gives deliveries back: they are due at once, and the attempt that was
// none does not count. One that was closed meanwhile stays closed. It
// compares the attempt, so a second run changes nothing.
func (s *Sinks) Release(ctx context.Context, unsent []activities.Delivery) error {
	ids, attempts := make([]string, len(unsent)), make([]int, len(unsent))
	for i, d := range unsent {
		ids[i], attempts[i] = d.ID, d.Attempts
	}
	_, err := s.DB.Pool.Exec(ctx, `
		UPDATE notification_deliveries d SET attempts = d.attempts - 1, next_at = now()
		FROM unnest($1::text[], $2::int[]) AS r (id, attempts)
		WHERE d.id = r.id AND d.attempts = r.attempts AND d.state = 'pending'`, ids, attempts)
	return pg.Translate(err)
}

// Delivered closes a delivery and forgets the sink's failures. It sets a level.
func (s *Sinks) Delivered(ctx context.Context, d activities.Delivery) error {
	b := &pgx.Batch{}
	b.Queue(
		`
			UPDATE notification_deliveries
			SET state = 'delivered', ended_at = now(), error = NULL
			WHERE id = $1 AND state = 'pending'`,
		d.ID,
	)
	b.Queue(
		`
			UPDATE notification_sinks
			SET failures = 0, retry_after = NULL, last_error = NULL, last_delivered_at = now()
			WHERE id = $1`,
		d.SinkID,
	)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// Failed plans the next attempt, or gives the delivery up after the last one. While a sink
// is down all its deliveries wait. Its owner is notified once a day.
func (s *Sinks) Failed(ctx context.Context, d activities.Delivery, why string, down bool) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			`UPDATE notification_deliveries SET error = $2, next_at = now() + $3::float8 * interval '1 second',
				state = CASE WHEN attempts >= $4 THEN 'abandoned' ELSE state END,
				ended_at = CASE WHEN attempts >= $4 THEN now() END
			WHERE id = $1 AND state = 'pending'`, d.ID, why, notification.BackOff(d.Attempts).Seconds(),
			notification.MaxAttempts); err != nil {
			return err
		}
		var failures int
		err := tx.QueryRow(
			ctx,
			`
				UPDATE notification_sinks
				SET failures = failures + 1, last_error = $2, last_failed_at = now()
				WHERE id = $1
				RETURNING failures`,
			d.SinkID,
			why,
		).Scan(&failures)
		if pg.IsNoRows(err) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if down {
			if _, err := tx.Exec(ctx,
				`UPDATE notification_sinks SET retry_after = now() + $2::float8 * interval '1 second' WHERE id = $1`,
				d.SinkID, notification.BackOff(failures).Seconds()); err != nil {
				return err
			}
		}
		if failures < failuresToNotify {
			return nil
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: d.ClientID,
			Type:     "sink_failing",
			Severity: "error",
			Message:  "Notifications could not be delivered to the " + string(d.Kind) + ": " + why,
			Metadata: map[string]any{"sink_id": d.SinkID, "failures": failures},
			Notify:   true,
			Key:      "sink_failing/" + d.SinkID + "/" + time.Now().UTC().Format(time.DateOnly),
		})
	})
}

// failuresToNotify is how often in a row a sink fails before its owner is notified.
const failuresToNotify = 3

func (s *Sinks) decryptSecret(id string, sealed []byte) (string, error) {
	if len(sealed) == 0 {
		return "", nil // what goes to the log is not signed
	}
	return s.seal.Open(sealed, "sink/"+id)
}

var _ activities.SinkStore = (*Sinks)(nil)

// WebhookURLs lists the addresses of webhooks, each once, for a look at whether they can be
// reached at all.
func (s *Sinks) WebhookURLs(ctx context.Context) ([]string, error) {
	type row struct{ URL string }
	rows, err := pg.QueryRows[row](ctx, s.DB, `
		SELECT DISTINCT url
		FROM notification_sinks
		WHERE kind = 'webhook'
		LIMIT 10000`)
	urls := make([]string, len(rows))
	for i, r := range rows {
		urls[i] = r.URL
	}
	return urls, err
}
