package accounts

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/pg"
)

// Credentials keeps the hashes of tokens, and who they belong to.
type Credentials struct{ DB *pg.DB }

// CredentialView is a credential as its owner sees it, without its token.
type CredentialView struct {
	ID          string
	ClientID    string
	Kind        credentials.Kind
	Name        string
	Scope       credentials.Scope
	LogicalID   *string `db:"logical_agent_id"`
	AgentID     *string
	InstanceID  *string
	Uses        int
	Used        int
	ExpiresAt   *time.Time
	LastUsedAt  *time.Time
	LastAddress string
	RevokedAt   *time.Time
	CreatedBy   string
	CreatedAt   time.Time
}

//nolint:gosec // names of columns
const selectCredentials = `
SELECT id, client_id, kind, name, scope, logical_agent_id, agent_id, instance_id, uses, used,
       expires_at, last_used_at, last_address, revoked_at, created_by, created_at
FROM credentials `

//nolint:gosec // names of columns
const findCredential = `
		SELECT k.id, k.kind, k.name, k.scope, coalesce(k.logical_agent_id, a.logical_agent_id, '') AS logical_id,
			coalesce(k.agent_id, '') AS agent_id,
		       coalesce(k.instance_id, '') AS instance_id, k.created_at, k.expires_at, k.revoked_at, k.renewed_at,
		       k.last_used_at, k.token_hash,
		       coalesce(i.role = 'retired' OR i.terminated_at IS NOT NULL, false) AS retired,
		       c.id AS client_id, c.name AS client_name, c.email, c.status, c.launcher, c.legacy_token AS legacy_mode
		FROM credentials k
		JOIN clients c ON c.id = k.client_id
		LEFT JOIN agents a ON a.id = k.agent_id
		LEFT JOIN instances i ON i.id = k.instance_id AND k.kind = 'agent'
		`

// FindCredential looks a token up by its hash. Fails with credentials.not_found.
func (s *Credentials) FindCredential(ctx context.Context, hash []byte) (*credentials.StoredCredential, error) {
	return s.find(ctx, `WHERE k.token_hash = $1`, hash)
}

func (s *Credentials) find(ctx context.Context, where string, arg any) (*credentials.StoredCredential, error) {
	found, err := pg.QueryRow[credentials.StoredCredential](ctx, s.DB, findCredential+where, arg)
	if pg.IsNoRows(err) {
		return nil, credentials.NotFound.New("There is no such credential")
	}
	return found, err
}

// FindLegacy looks up the one token that a client had before. Fails with
// credentials.not_found.
func (s *Credentials) FindLegacy(ctx context.Context, hash []byte) (*credentials.StoredCredential, error) {
	return s.findLegacy(ctx, `WHERE token_hash = $1`, hash)
}

// FindOfSession looks up what a tenant's session was begun with: a credential, or with
// an empty id the client's old token. Fails with credentials.not_found.
func (s *Credentials) FindOfSession(ctx context.Context, clientID, credentialID string) (*credentials.StoredCredential, error) {
	if credentialID == "" {
		return s.findLegacy(ctx, `WHERE id = $1`, clientID)
	}
	return s.find(ctx, `WHERE k.id = $1`, credentialID)
}

func (s *Credentials) findLegacy(ctx context.Context, where string, arg any) (*credentials.StoredCredential, error) {
	found := &credentials.StoredCredential{Kind: credentials.Legacy}
	err := s.DB.Pool.QueryRow(ctx, `
		SELECT id, name, email, status, launcher, legacy_token, token_hash, created_at
		FROM clients `+where, arg).
		Scan(&found.ClientID, &found.ClientName, &found.Email, &found.Status, &found.Launcher, &found.LegacyMode,
			&found.TokenHash, &found.CreatedAt)
	if pg.IsNoRows(err) {
		return nil, credentials.NotFound.New("There is no such credential")
	}
	return found, pg.Translate(err)
}

// Create makes an enrolment or a tenant credential, with its token. Fails with
// credentials.invalid, credentials.too_many and clients.not_found.
func (s *Credentials) Create(ctx context.Context, n credentials.NewCredential, by string) (*CredentialView, string, error) {
	if err := n.Normalize(); err != nil {
		return nil, "", err
	}
	token, err := credentials.NewToken(n.Kind, rand.Reader)
	if err != nil {
		return nil, "", err
	}
	var out *CredentialView
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var open int
		// The client's row is locked, so that the limit holds for two at once.
		err := tx.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM credentials k
			        WHERE k.client_id = c.id
			            AND k.kind <> 'agent'
			            AND k.revoked_at IS NULL
			            AND coalesce(k.expires_at > now(), true))
			FROM clients c WHERE c.id = $1 FOR NO KEY UPDATE`, n.ClientID).Scan(&open)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil {
			return err
		}
		if open >= credentials.MaxPerClient {
			return credentials.TooMany.New("The client has %d credentials: revoke some first.", open)
		}
		rows, err := tx.Query(ctx, `
			INSERT INTO credentials (client_id, kind, name, scope, token_hash, logical_agent_id, uses, expires_at,
				created_by)
			VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, CASE WHEN $8 > 0 THEN now() + make_interval(secs => $8) END,
				$9)
			RETURNING id, client_id, kind, name, scope, logical_agent_id, agent_id, instance_id, uses, used,
			          expires_at, last_used_at, last_address, revoked_at, created_by, created_at`,
			n.ClientID, n.Kind, n.Name, n.Scope, clients.HashToken(token), n.LogicalID, n.Uses, n.TTL.Seconds(), by)
		if err != nil {
			return err
		}
		if out, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[CredentialView]); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: n.ClientID,
			Type:     "credential_created",
			Severity: "info",
			Actor:    by,
			Message:  "A credential was made: " + describeCredential(out),
			Notify:   true,
			Metadata: map[string]any{
				"before": nil,
				"after": map[string]any{"id": out.ID, "kind": out.Kind, "name": out.Name, "scope": out.Scope,
					"uses": out.Uses, "expires_at": out.ExpiresAt, "token_hash": fingerprint(clients.HashToken(token))},
			},
		})
	})
	return out, token, err
}

func describeCredential(c *CredentialView) string {
	out := string(c.Kind)
	if c.Scope != "" {
		out += " with the scope " + string(c.Scope)
	}
	if c.Name != "" {
		out += ", " + c.Name
	}
	return out
}

// Credentials lists a client's credentials, newest first. What has expired or was revoked
// is in the list until it is deleted; of agents' credentials, only those that are good.
func (s *Credentials) Credentials(ctx context.Context, clientID string) ([]CredentialView, error) {
	return pg.QueryRows[CredentialView](ctx, s.DB, selectCredentials+`
		WHERE client_id = $1 AND (kind <> 'agent' OR revoked_at IS NULL AND expires_at > now())
		ORDER BY created_at DESC, id LIMIT 1000`, clientID)
}

// Revoke ends a credential. One that was revoked is revoked again. Fails with
// credentials.not_found.
func (s *Credentials) Revoke(ctx context.Context, clientID, id, by string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectCredentials+`WHERE client_id = $1 AND id = $2 FOR UPDATE`, clientID, id)
		if err != nil {
			return err
		}
		found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[CredentialView])
		if pg.IsNoRows(err) {
			return credentials.NotFound.New("There is no such credential")
		}
		if err != nil || found.RevokedAt != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE credentials SET revoked_at = now() WHERE id = $1`, id); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "credential_revoked",
			Severity: "warning",
			Actor:    by,
			Message:  "A credential was revoked: " + describeCredential(found),
			Notify:   true,
			Metadata: map[string]any{
				"before": map[string]any{"id": id, "kind": found.Kind, "name": found.Name},
				"after":  nil,
			},
		})
	})
}

// UseEnrolment counts a use of an enrolment by an instance. An instance that comes again
// before it has used a token uses nothing up, because the answer may have got lost;
// afterwards it counts as another one. An enrolment from before a token of the instance was
// revoked is not good for that instance. Fails with credentials.used_up and
// credentials.revoked.
func (s *Credentials) UseEnrolment(ctx context.Context, id, instanceID string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var uses, used int
		var revoked, arrived bool
		err := tx.QueryRow(ctx, `
SELECT e.uses,
    e.used,
    EXISTS (
        SELECT
        FROM credentials k
        WHERE k.client_id = e.client_id
          AND k.kind = 'agent'
          AND k.instance_id = $2
          AND k.revoked_at >= e.created_at),
    EXISTS (
        SELECT
        FROM credentials k
        WHERE k.parent_id = e.id
          AND k.instance_id = $2
          AND k.last_used_at IS NOT NULL)
FROM credentials e
WHERE e.id = $1
FOR UPDATE OF e`, id, instanceID).Scan(&uses, &used, &revoked, &arrived)
		if err != nil {
			return err
		}
		if revoked {
			return credentials.Revoked.New("A token of this instance was revoked: make a new enrolment token.")
		}
		tag, err := tx.Exec(ctx,
			`INSERT INTO credential_uses (credential_id, instance_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id,
			instanceID)
		if err != nil || tag.RowsAffected() == 0 && !arrived {
			return err
		}
		if used >= uses {
			return credentials.Exhausted.New("This enrolment token has been used: make a new one.")
		}
		_, err = tx.Exec(ctx, `UPDATE credentials SET used = used + 1, last_used_at = now() WHERE id = $1`, id)
		return err
	})
}

// AgentToken is a new credential of an agent.
type AgentToken struct {
	Token      string
	ExpiresAt  time.Time
	RenewAfter time.Time
}

// IssueAgent makes the credential of an agent on an instance. Called twice it makes two,
// each of which is good until it expires: the answer with the first may have got lost.
func (s *Credentials) IssueAgent(ctx context.Context, of credentials.AgentOf) (*AgentToken, error) {
	var out *AgentToken
	err := s.DB.InTx(ctx, func(tx pgx.Tx) (err error) {
		out, err = issueAgent(ctx, tx, of)
		if err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: of.ClientID,
			AgentID:  of.AgentID,
			Type:     "agent_joined",
			Severity: "info",
			Actor:    "agent:" + of.AgentID,
			Message:  "The agent on " + of.InstanceID + " joined with " + of.By,
			Metadata: map[string]any{"instance_id": of.InstanceID, "enrolment_id": of.ParentID},
		})
	})
	return out, err
}

func issueAgent(ctx context.Context, tx pgx.Tx, of credentials.AgentOf) (*AgentToken, error) {
	token, err := credentials.NewToken(credentials.Agent, rand.Reader)
	if err != nil {
		return nil, err
	}
	out := &AgentToken{Token: token}
	var created time.Time
	err = tx.QueryRow(ctx, `
		INSERT INTO credentials (id, client_id, kind, token_hash, agent_id, instance_id, parent_id, expires_at,
			created_by)
		VALUES ($1, $2, 'agent', $3, $4, $5, nullif($6, ''), now() + make_interval(secs => $7), 'agent:' || $4)
		RETURNING created_at, expires_at`,
		uuid.NewString(), of.ClientID, clients.HashToken(token), of.AgentID, of.InstanceID, of.ParentID,
		credentials.AgentTTL.Seconds()).Scan(&created, &out.ExpiresAt)
	out.RenewAfter = created.Add(credentials.RenewAfter)
	return out, err
}

// RenewAgent makes the successor of an agent's credential, unless one was made within
// credentials.RenewPause, by another heartbeat; then the result is nil. The old
// credential stays good until it expires, because the answer may get lost; a successor
// that was never used goes when the next one is made.
func (s *Credentials) RenewAgent(ctx context.Context, id string) (*AgentToken, error) {
	var out *AgentToken
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		next := credentials.AgentOf{ParentID: id}
		err := tx.QueryRow(ctx, `
			UPDATE credentials SET renewed_at = now()
			WHERE id = $1
				AND kind = 'agent'
				AND revoked_at IS NULL
				AND coalesce(renewed_at <= now() - make_interval(secs => $2), true)
			RETURNING client_id, agent_id, instance_id`, id, credentials.RenewPause.Seconds()).Scan(&next.ClientID,
			&next.AgentID, &next.InstanceID)
		if pg.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM credentials WHERE parent_id = $1 AND last_used_at IS NULL`,
			id); err != nil {
			return err
		}
		out, err = issueAgent(ctx, tx, next)
		return err
	})
	return out, err
}

// NoteUse records that a credential was used. The caller asks for it now and then, not
// at each use.
func (s *Credentials) NoteUse(ctx context.Context, id, address string) error {
	_, err := s.DB.Pool.Exec(ctx, `UPDATE credentials SET last_used_at = now(), last_address = $2 WHERE id = $1`, id,
		address)
	return pg.Translate(err)
}

// RequireClient says whether a client exists. Fails with clients.not_found.
func (s *Credentials) RequireClient(ctx context.Context, id string) error {
	var exists bool
	err := s.DB.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM clients WHERE id = $1)`, id).Scan(&exists)
	if err != nil {
		return pg.Translate(err)
	}
	if !exists {
		return clients.NotFound.New("Client not found")
	}
	return nil
}

// LegacyMode reads what a client's legacy token may do. Fails with clients.not_found.
func (s *Credentials) LegacyMode(ctx context.Context, clientID string) (mode credentials.LegacyMode, err error) {
	err = s.DB.Pool.QueryRow(ctx, `SELECT legacy_token FROM clients WHERE id = $1`, clientID).Scan(&mode)
	if pg.IsNoRows(err) {
		return "", clients.NotFound.New("Client not found")
	}
	return mode, pg.Translate(err)
}

// SetLegacyMode changes what a client's legacy token may do, from the next request on.
// Fails with credentials.invalid and clients.not_found.
func (s *Credentials) SetLegacyMode(
	ctx context.Context,
	clientID string,
	mode credentials.LegacyMode,
	by string,
) error {
	if !mode.Known() {
		return credentials.Invalid.New("The old token is for all, agent or off")
	}
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var before credentials.LegacyMode
		err := tx.QueryRow(ctx, `
			WITH before AS (SELECT id, legacy_token FROM clients WHERE id = $1 FOR NO KEY UPDATE)
			UPDATE clients c
			SET legacy_token = $2, updated_at = now()
			FROM before
			WHERE c.id = before.id
			RETURNING before.legacy_token`,
			clientID, mode).Scan(&before)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil || before == mode {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "legacy_token_changed",
			Severity: "warning",
			Actor:    by,
			Notify:   true,
			Message:  "What the client's old token may do was changed from " + string(before) + " to " + string(mode),
			Metadata: map[string]any{
				"before": map[string]any{"legacy_token": before},
				"after":  map[string]any{"legacy_token": mode},
			},
		})
	})
}

// RecordAuthFailure keeps a refused attempt as an event, one per address, route
// and minute, so that guessing does not fill the table.
func (s *Credentials) RecordAuthFailure(ctx context.Context, route, address, why string) error {
	_, err := s.DB.Pool.Exec(ctx, `
		INSERT INTO events (type, severity, actor, message, dedup_key, address, request_id)
		VALUES ('auth_failed', 'warning', $2, $3,
			'auth_failed/' || $2 || '/' || md5($1) || '/' || extract(epoch FROM date_trunc('minute', now()))::bigint,
			$2, $4)
		ON CONFLICT (dedup_key) DO NOTHING`, route, address, "Authentication failed on "+route+": "+why,
		trail.RequestFrom(ctx).RequestID)
	return pg.Translate(err)
}
