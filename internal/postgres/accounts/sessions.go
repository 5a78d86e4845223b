package accounts

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// SessionNotFound means that there is no session with an id, or no longer.
var SessionNotFound = fault.Define("sessions.not_found", fault.NotFound)

// Sessions stores the logins of operators and tenants. A session itself is a signed cookie;
// its row says when it was used last, and whether it was ended.
type Sessions struct{ DB *pg.DB }

// Session is a login of a browser, of an operator or of a tenant.
type Session struct {
	ID           string
	Operator     string // empty for a tenant
	Role         string // of an operator, at the login
	Via          string // token or oidc
	ClientID     string // empty for an operator
	ClientName   string // read only
	CredentialID string // of a tenant; empty when it logged in with its old token
	Address      string
	StartedAt    time.Time
	LastSeenAt   time.Time
	ExpiresAt    time.Time
}

// SessionBegun stores a login and writes its event. Expired logins are deleted.
func (s *Sessions) SessionBegun(ctx context.Context, n Session, actor string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM operator_sessions WHERE expires_at < now()`); err != nil {
			return err
		}
		_, err := tx.Exec(
			ctx,
			`
				INSERT INTO operator_sessions (id, operator, role, via, client_id, credential_id, address, started_at,
					last_seen_at, expires_at)
				VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), $7, $8, $8, $9)`,
			n.ID,
			n.Operator,
			n.Role,
			n.Via,
			n.ClientID,
			n.CredentialID,
			n.Address,
			n.StartedAt,
			n.ExpiresAt,
		)
		if err != nil {
			return err
		}
		event := pg.EventRecord{
			Type:     "operator_login",
			Severity: "info",
			Actor:    actor,
			Message:  "Operator " + n.Operator + " logged in",
			Metadata: map[string]any{"address": n.Address, "session_id": n.ID, "role": n.Role, "via": n.Via},
		}
		if n.ClientID != "" {
			event.ClientID, event.Type, event.Message = n.ClientID, "tenant_login", "The console was opened with a token"
			event.Metadata = map[string]any{"address": n.Address, "session_id": n.ID, "credential_id": n.CredentialID}
		}
		return pg.RecordEvent(ctx, tx, event)
	})
}

// noteSession is how exactly the last use of a session is kept.
const noteSession = time.Minute

// UseSession says whether a session is good at a moment: it was used within idle, and was
// not ended. It then counts as used.
func (s *Sessions) UseSession(
	ctx context.Context,
	id string,
	now time.Time,
	idle time.Duration,
) (good bool, err error) {
	// One statement, because each request of a page asks it.
	var seen time.Time
	err = s.DB.Pool.QueryRow(ctx, `
		SELECT last_seen_at
		FROM operator_sessions s
		WHERE id = $1 AND NOT EXISTS (SELECT FROM ended_sessions e WHERE e.id = s.id)`, id).Scan(&seen)
	switch {
	case pg.IsNoRows(err):
		return false, nil
	case err != nil:
		return false, pg.Translate(err)
	case now.Sub(seen) >= idle:
		return false, nil
	case now.Sub(seen) < noteSession:
		return true, nil
	}
	_, err = s.DB.Pool.Exec(ctx, `UPDATE operator_sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2`,
		id, now)
	return true, pg.Translate(err)
}

// Sessions lists the sessions that are good at a moment, the newest first.
func (s *Sessions) Sessions(ctx context.Context, now time.Time, idle time.Duration) ([]Session, error) {
	return pg.QueryRows[Session](ctx, s.DB, `
		SELECT s.id, s.operator, s.role, s.via, coalesce(s.client_id, '') AS client_id, coalesce(c.name, '') AS client_name,
		       coalesce(s.credential_id, '') AS credential_id, s.address, s.started_at, s.last_seen_at, s.expires_at
		FROM operator_sessions s
		LEFT JOIN clients c ON c.id = s.client_id
		WHERE s.expires_at > $1
			AND s.last_seen_at > $2
			AND NOT EXISTS (SELECT FROM ended_sessions e WHERE e.id = s.id)
		ORDER BY s.started_at DESC, s.id LIMIT 1000`, now, now.Add(-idle))
}

// EndSessionOf ends a session of any operator, or one's own on another machine. Fails with
// sessions.not_found.
func (s *Sessions) EndSessionOf(ctx context.Context, id, by string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var operator, clientID string
		err := tx.QueryRow(ctx, `
			WITH found AS (SELECT id, operator, client_id, expires_at FROM operator_sessions WHERE id = $1),
			     ended AS (INSERT INTO ended_sessions (id, expires_at)
			         SELECT id, expires_at
			         FROM found
			         ON CONFLICT (id) DO NOTHING)
			SELECT operator, coalesce(client_id, '') FROM found`, id).Scan(&operator, &clientID)
		if pg.IsNoRows(err) {
			return SessionNotFound.New("There is no such session")
		}
		if err != nil {
			return err
		}
		event := pg.EventRecord{Type: "operator_session_ended", Severity: "warning", Actor: by, ClientID: clientID,
			Message:  "A session of operator " + operator + " was ended",
			Metadata: map[string]any{"before": map[string]any{"session_id": id, "operator": operator}, "after": nil}}
		if clientID != "" {
			event.Type, event.Message = "tenant_session_ended", "A session of the client in the console was ended"
		}
		return pg.RecordEvent(ctx, tx, event)
	})
}

// EndSession ends a session in every process. One that has ended is ended again.
func (s *Sessions) EndSession(ctx context.Context, n Session, actor string) error {
	return s.DB.InEntityTx(ctx, func(tx *gorm.DB) error {
		created := gorm.WithResult()
		err := gorm.G[entity.EndedSession](tx, clause.OnConflict{DoNothing: true}, created).
			Create(ctx, &entity.EndedSession{ID: n.ID, ExpiresAt: n.ExpiresAt})
		if err != nil || created.RowsAffected == 0 {
			return err
		}
		// The rows of expired sessions are few, and no longer needed.
		if _, err := gorm.G[entity.EndedSession](tx).Where("expires_at < now()").Delete(ctx); err != nil {
			return err
		}
		event := pg.EventRecord{
			Type:     "operator_logout",
			Severity: "info",
			Actor:    actor,
			Message:  "Operator " + n.Operator + " logged out",
		}
		if n.ClientID != "" {
			event.ClientID, event.Type, event.Message = n.ClientID, "tenant_logout", "The console was closed by a logout"
		}
		return pg.RecordEntityEvent(ctx, tx, event)
	})
}
