package accounts

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/pg"
)

// ClientAccounts keep where clients' instances live.
type ClientAccounts struct{ DB *pg.DB }

// ClientAccount is a client's account, with what its role must require and what it must see.
type ClientAccount struct {
	clients.Account

	ClientID   string
	ExternalID string
	Unproven   int // instances that have a role on an agent's claim alone
	// Living are the proven instances that have not ended, by region.
	Living map[string][]string
}

const selectAccount = `
SELECT c.id, c.external_id, c.account_id, c.role_arn, c.own_account,
    (SELECT count(*)
        FROM instances i
        WHERE i.client_id = c.id AND i.proof = 'unproven' AND i.role IN ('primary', 'replica')),
    coalesce((
        SELECT jsonb_object_agg(l.region, l.ids)
        FROM (
            SELECT i.region, jsonb_agg(i.id ORDER BY i.id) AS ids
            FROM instances i
            WHERE i.client_id = c.id
              AND i.proof <> 'unproven'
              AND i.role <> 'retired'
              AND i.terminated_at IS NULL
            GROUP BY i.region) l), '{}')
FROM clients c
WHERE c.id = $1`

func scanAccount(row pgx.Row) (*ClientAccount, error) {
	var out ClientAccount
	err := row.Scan(&out.ClientID, &out.ExternalID, &out.ID, &out.RoleARN, &out.Own, &out.Unproven, &out.Living)
	if pg.IsNoRows(err) {
		return nil, clients.NotFound.New("Client not found")
	}
	return &out, pg.Translate(err)
}

// Account reads a client's account. Fails with clients.not_found.
func (s *ClientAccounts) Account(ctx context.Context, clientID string) (*ClientAccount, error) {
	return scanAccount(s.DB.Pool.QueryRow(ctx, selectAccount, clientID))
}

// SetAccount changes where a client's instances live, with an audit entry, and has EC2
// asked about each of its unproven instances. Fails with clients.not_found.
func (s *ClientAccounts) SetAccount(
	ctx context.Context,
	clientID string,
	to clients.Account,
	by string,
) (*ClientAccount, error) {
	var out *ClientAccount
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		before, err := scanAccount(tx.QueryRow(ctx, selectAccount+` FOR NO KEY UPDATE`, clientID))
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(
			`UPDATE clients SET account_id = $2, role_arn = $3, own_account = $4, updated_at = now() WHERE id = $1`,
			clientID,
			to.ID,
			to.RoleARN,
			to.Own,
		)
		pg.QueueAdoptionsOfClient(b, clientID)
		b.Queue(selectAccount, clientID).QueryRow(func(row pgx.Row) error {
			out, err = scanAccount(row)
			return err
		})
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "client_account_changed",
			Severity: "warning",
			Actor:    by,
			Notify:   true,
			Message:  "The AWS account of the client was changed",
			Metadata: map[string]any{"before": before.Account, "after": to},
		})
	})
	return out, err
}
