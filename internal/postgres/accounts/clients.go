package accounts

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/sealing"
)

var (
	_ = pg.RegisterConstraint("clients_name_key", clients.NameTaken, "A client with this name exists already")
	_ = pg.RegisterConstraint("clients_email_key", clients.EmailTaken,
		"A client with this e-mail address exists already")
)

// Clients keeps tenants and their tokens. A token is looked up by its hash and
// kept sealed with a key of the deployment, bound to its client, so that a
// copy of the table shows no token, and a row moved to another client opens none.
type Clients struct {
	DB *pg.DB

	seal sealing.Box
}

// NewClients takes the 32 bytes that seal tokens.
func NewClients(db *pg.DB, key []byte) (*Clients, error) {
	keys, err := sealing.NewKeys(sealing.Key{Secret: key})
	if err != nil {
		return nil, err
	}
	return NewClientsWith(db, keys), nil
}

// NewClientsWith takes all keys of a deployment.
func NewClientsWith(db *pg.DB, keys sealing.Keys) *Clients {
	return &Clients{DB: db, seal: keys.BoxFor(useTokens)}
}

func (c *Clients) decryptToken(id string, sealed []byte) (string, error) {
	token, err := c.seal.Open(sealed, id)
	if err != nil {
		return "", fmt.Errorf("the token was sealed with another key: %w", err)
	}
	return token, nil
}

// Create makes a client with its token, and writes the audit event. Fails with
// clients.bad_name, clients.bad_email, clients.bad_account, clients.name_taken and
// clients.email_taken.
func (c *Clients) Create(ctx context.Context, n clients.NewClient, by string) (*clients.Client, string, error) {
	if err := n.Normalize(); err != nil {
		return nil, "", err
	}
	if n.ID == "" {
		n.ID = uuid.NewString()
	}
	token, err := clients.NewToken(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	out := &clients.Client{
		ID:        n.ID,
		Name:      n.Name,
		Email:     n.Email,
		Status:    clients.Active,
		Launcher:  n.Launcher,
		TokenHash: clients.HashToken(token),
	}
	sealed, err := c.seal.Seal(token, n.ID)
	if err != nil {
		return nil, "", err
	}
	err = c.DB.InTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(
			ctx,
			`
			INSERT INTO clients (id, name, email, launcher, account_id, role_arn, own_account, token_hash, token_sealed,
				legacy_token)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			RETURNING created_at, external_id`,
			n.ID,
			n.Name,
			n.Email,
			n.Launcher,
			n.Account.ID,
			n.Account.RoleARN,
			n.Account.Own,
			out.TokenHash,
			sealed,
			n.LegacyToken,
		).Scan(&out.CreatedAt, &out.ExternalID)
		if err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: n.ID,
			Type:     "client_created",
			Severity: "info",
			Actor:    by,
			Message:  "New client created: " + n.Name,
			Notify:   true,
			Metadata: map[string]any{
				"before": nil,
				"after": map[string]any{
					"client_id":    n.ID,
					"name":         n.Name,
					"email":        n.Email,
					"launcher":     n.Launcher,
					"legacy_token": n.LegacyToken,
					"account":      n.Account,
					"token_hash":   fingerprint(out.TokenHash),
				},
			},
		})
	})
	if err != nil {
		return nil, "", c.nameTaken(err, n)
	}
	return out, token, nil
}

// nameTaken puts the name that was asked for into the sentence.
func (c *Clients) nameTaken(err error, n clients.NewClient) error {
	if pg.IsConstraint(err, "clients_name_key") {
		return clients.NameTaken.Wrap(err, "Client %q already exists", n.Name)
	}
	return err
}

// Token shows a client's present token, and records who was shown it. Fails with
// clients.not_found.
func (c *Clients) Token(ctx context.Context, id, by string) (name, token string, err error) {
	err = c.DB.InTx(ctx, func(tx pgx.Tx) error {
		var sealed, hash []byte
		err := tx.QueryRow(ctx, `SELECT name, token_sealed, token_hash FROM clients WHERE id = $1`, id).Scan(&name,
			&sealed, &hash)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil {
			return err
		}
		if token, err = c.decryptToken(id, sealed); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: id,
			Type:     "token_read",
			Severity: "warning",
			Actor:    by,
			Notify:   true,
			Message:  "The client token of " + name + " was shown to " + by,
			Metadata: map[string]any{"token_hash": fingerprint(hash)},
		})
	})
	return name, token, err
}

// RegenerateToken replaces a client's token: the old one is dead when this
// returns. Fails with clients.not_found.
func (c *Clients) RegenerateToken(ctx context.Context, id, by string) (name, token string, err error) {
	if token, err = clients.NewToken(rand.Reader); err != nil {
		return "", "", err
	}
	sealed, err := c.seal.Seal(token, id)
	if err != nil {
		return "", "", err
	}
	err = c.DB.InTx(ctx, func(tx pgx.Tx) error {
		var before []byte
		err := tx.QueryRow(ctx, `WITH before AS (SELECT id, token_hash FROM clients WHERE id = $1 FOR NO KEY UPDATE)
			UPDATE clients c
			SET token_hash = $2, token_sealed = $3, updated_at = now()
			FROM before
			WHERE c.id = before.id
			RETURNING c.name, before.token_hash`,
			id, clients.HashToken(token), sealed).Scan(&name, &before)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: id,
			Type:     "token_regenerated",
			Severity: "warning",
			Actor:    by,
			Message:  "The client token of " + name + " was regenerated",
			Notify:   true,
			Metadata: map[string]any{
				"before": map[string]any{"token_hash": fingerprint(before)},
				"after":  map[string]any{"token_hash": fingerprint(clients.HashToken(token))},
			},
		})
	})
	return name, token, err
}

// Delete removes a client with everything that belongs to it, its events too, and
// leaves one event that records it. The caller must end the instances of its agents
// first. Fails with clients.not_found.
func (c *Clients) Delete(ctx context.Context, id, by string) (name string, err error) {
	// A workflow that closes its page may hold a row that goes with the client and wait for
	// the client's own row. Postgres ends one of the two transactions, and it begins again.
	for range deleteTries {
		if name, err = c.delete(ctx, id, by); !pg.Deadlocked(err) {
			break
		}
	}
	return name, err
}

const deleteTries = 4

func (c *Clients) delete(ctx context.Context, id, by string) (name string, err error) {
	err = c.DB.InTx(ctx, func(tx pgx.Tx) error {
		var agents, instances, events int
		err := tx.QueryRow(
			ctx,
			`
			SELECT name, (SELECT count(*) FROM agents WHERE client_id = $1),
				(SELECT count(*) FROM instances WHERE client_id = $1),
				(SELECT count(*) FROM events WHERE client_id = $1)
			FROM clients WHERE id = $1 FOR UPDATE`,
			id,
		).Scan(&name, &agents, &instances, &events)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil {
			return err
		}
		// Before the client: afterwards they would have no owner.
		if _, err := tx.Exec(ctx, `DELETE FROM events WHERE client_id = $1`, id); err != nil {
			return err
		}
		// They have no reference: the surveys of the control plane's own account have no client.
		if _, err := tx.Exec(ctx, `DELETE FROM surveys WHERE client_id = $1`, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM clients WHERE id = $1`, id); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			Type:     "client_deleted",
			Severity: "warning",
			Actor:    by,
			Message:  "Client deleted: " + name,
			Metadata: map[string]any{
				"client_id": id,
				"before":    map[string]any{"name": name, "agents": agents, "instances": instances, "events": events},
				"after":     nil,
			},
		})
	})
	return name, err
}

// fingerprint distinguishes tokens in events without revealing them.
func fingerprint(tokenHash []byte) string { return hex.EncodeToString(tokenHash[:6]) }
