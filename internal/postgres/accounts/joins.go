package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/joining"
	"spotkeeper/internal/postgres/pg"
)

// Joins stores which roles may join without a token, and the proofs that were used.
type Joins struct{ DB *pg.DB }

// openChallenges bounds the challenges of one address that were not used.
const openChallenges = 1000

// NewChallenge makes a challenge for a caller at an address. Fails with
// join.refused when the address has too many that it did not use.
func (s *Joins) NewChallenge(ctx context.Context, address string) (challenge string, expires time.Time, err error) {
	random := make([]byte, joining.ChallengeBytes)
	if _, err := rand.Read(random); err != nil {
		return "", expires, err
	}
	challenge = base64.RawURLEncoding.EncodeToString(random)
	hash := sha256.Sum256([]byte(challenge))
	_, err = s.DB.Pool.Exec(ctx, `
		DELETE FROM join_challenges
		WHERE hash IN (
			SELECT hash
			FROM join_challenges
			WHERE expires_at < now()
			LIMIT 100
			FOR UPDATE SKIP LOCKED)`)
	if err != nil {
		return "", expires, pg.Translate(err)
	}
	err = s.DB.Pool.QueryRow(ctx, `
		INSERT INTO join_challenges (hash, address, expires_at)
		SELECT $1, $2, now() + make_interval(secs => $3)
		WHERE (SELECT count(*) FROM join_challenges WHERE address = $2) < $4
		RETURNING expires_at`, hash[:], address, joining.ChallengeTTL.Seconds(), openChallenges).Scan(&expires)
	if pg.IsNoRows(err) {
		return "", expires, joining.Refused.New("Too many challenges of this address were not used: wait a minute.")
	}
	return challenge, expires, pg.Translate(err)
}

// TakeChallenge uses a challenge up: of two callers one has it. Fails with
// join.stale_challenge.
func (s *Joins) TakeChallenge(ctx context.Context, challenge string) error {
	hash := sha256.Sum256([]byte(challenge))
	tag, err := s.DB.Pool.Exec(ctx, `DELETE FROM join_challenges WHERE hash = $1 AND expires_at > now()`, hash[:])
	if err == nil && tag.RowsAffected() == 0 {
		return joining.StaleChallenge.New("This challenge was used or is older than a minute: ask for another one.")
	}
	return pg.Translate(err)
}

// TakeDocument uses an identity document up for a client, whose instance it then is where
// clients share an account. The attempt that used it may repeat itself for the same client:
// the answer may have got lost. Fails with join.document_used.
func (s *Joins) TakeDocument(ctx context.Context, d joining.Document, clientID, attempt string) error {
	hash := sha256.Sum256([]byte(attempt))
	tag, err := s.DB.Pool.Exec(ctx, `
		INSERT INTO join_documents AS j (instance_id, pending_time, attempt_hash, client_id)
		VALUES ($1, $2, $3, $4)
		ON CONFLICT (instance_id) DO UPDATE
		SET pending_time = excluded.pending_time,
		    attempt_hash = excluded.attempt_hash,
		    client_id = excluded.client_id,
		    used_at = now()
		WHERE j.pending_time < excluded.pending_time
			OR j.pending_time = excluded.pending_time
			AND j.attempt_hash = excluded.attempt_hash
			AND coalesce(j.client_id, $4) = $4`,
		d.InstanceID, d.PendingTime, hash[:], clientID)
	if err == nil && tag.RowsAffected() == 0 {
		return joining.DocumentUsed.New("An agent has joined with this identity document already: " +
			"it is good once after each start of the instance.")
	}
	return pg.Translate(err)
}

// Candidates are the active clients in an account. A client in the control
// plane's own account has no account of its own, and is not among them.
func (s *Joins) Candidates(ctx context.Context, account string) ([]joining.Candidate, error) {
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT c.id, c.launcher, r.roles, r.documents
		FROM clients c
		JOIN client_join_rules r ON r.client_id = c.id
		WHERE c.account_id = $1
			AND c.account_id <> ''
			AND c.status = 'active'`, account)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c joining.Candidate, err error) {
		return c, row.Scan(&c.ClientID, &c.Launcher, &c.Rules.Roles, &c.Rules.Documents)
	})
	return out, pg.Translate(err)
}

// JoiningInstance is the stored facts about an instance whose agent asks to join.
type JoiningInstance struct {
	LaunchedFor string // the logical id of the agent that it was launched for; empty: not by us
	Proven      bool   // EC2 has shown it to us as the client's
	Ended       bool   // it was retired, or is terminated
	Revoked     bool   // a person has revoked a token of its agent
	Foreign     bool   // it is known as another client's
}

// Instance reads what is known of an instance. One that is not known has no field set.
func (s *Joins) Instance(ctx context.Context, clientID, instanceID string) (out JoiningInstance, err error) {
	err = s.DB.Pool.QueryRow(ctx, `
		SELECT coalesce((
				SELECT a.logical_agent_id
				FROM launches l
				JOIN agents a ON a.id = l.agent_id
				WHERE l.instance_id = $2 AND l.client_id = $1 AND l.state = 'launched'
				LIMIT 1), ''),
			coalesce(i.proof <> 'unproven' AND i.client_id = $1, false),
			coalesce(i.client_id = $1 AND (i.role = 'retired' OR i.terminated_at IS NOT NULL), false),
			EXISTS (
				SELECT
				FROM credentials k
				WHERE k.client_id = $1 AND k.kind = 'agent' AND k.instance_id = $2 AND k.revoked_at IS NOT NULL),
			coalesce(i.proof <> 'unproven' AND i.client_id <> $1, false)
		FROM (SELECT) one
		LEFT JOIN instances i ON i.id = $2`, clientID, instanceID).
		Scan(&out.LaunchedFor, &out.Proven, &out.Ended, &out.Revoked, &out.Foreign)
	return out, pg.Translate(err)
}

// Rules reads which instances of a client may join without a token. Fails with
// clients.not_found.
func (s *Joins) Rules(ctx context.Context, clientID string) (out joining.Rules, err error) {
	err = s.DB.Pool.QueryRow(ctx, `
		SELECT coalesce(r.roles, '{}'), coalesce(r.documents, false)
		FROM clients c
		LEFT JOIN client_join_rules r ON r.client_id = c.id
		WHERE c.id = $1`, clientID).Scan(&out.Roles, &out.Documents)
	if pg.IsNoRows(err) {
		return out, clients.NotFound.New("Client not found")
	}
	return out, pg.Translate(err)
}

// SetRules changes which instances of a client may join without a token. Fails with
// join.bad_rules and clients.not_found.
func (s *Joins) SetRules(ctx context.Context, clientID string, to joining.Rules, by string) (joining.Rules, error) {
	if err := to.Normalize(); err != nil {
		return to, err
	}
	if to.Roles == nil {
		to.Roles = []string{}
	}
	before, err := s.Rules(ctx, clientID)
	if err != nil {
		return to, err
	}
	return to, s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO client_join_rules (client_id, roles, documents)
			VALUES ($1, $2, $3)
			ON CONFLICT (client_id) DO UPDATE
			SET roles = excluded.roles, documents = excluded.documents, updated_at = now()`,
			clientID, to.Roles, to.Documents); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "join_rules_changed",
			Severity: "warning",
			Actor:    by,
			Notify:   true,
			Message:  "Which instances may join without a token was changed",
			Metadata: map[string]any{"before": before, "after": to},
		})
	})
}
