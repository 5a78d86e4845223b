package sweeps

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// Orphans stores the instances that the sweep saw, and finds those that belong to no replica.
type Orphans struct{ DB *pg.DB }

var (
	_ activities.OrphanStore = (*Orphans)(nil)
	_ activities.AgentStore  = (*Silence)(nil)
)

// Places lists every account and region that something of a client's may be in, or
// was ever launched in, those first that were tried longest ago or never.
func (s *Orphans) Places(ctx context.Context) ([]activities.SweepPlace, error) {
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT x.id, x.role_arn, x.external_id, x.own_account, x.region
		FROM (
			SELECT DISTINCT c.id, c.role_arn, c.external_id, c.own_account, p.region
			FROM clients c, LATERAL (
				SELECT i.region
				FROM instances i
				WHERE i.client_id = c.id AND (i.terminated_at IS NULL OR i.terminated_at > now() - interval '2 days')
				UNION
				SELECT l.request->>'region'
				FROM launches l
				WHERE l.client_id = c.id AND l.created_at > now() - interval '30 days') p
			WHERE p.region <> '' AND (c.role_arn <> '' OR c.own_account)) x
		LEFT JOIN sweep_attempts t ON t.sweep = $1 AND t.subject = x.id || '/' || x.region
		ORDER BY t.tried_at NULLS FIRST, x.id, x.region`, activities.SweepPlaces)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.SweepPlace, err error) {
		return p, row.Scan(&p.Account.ClientID, &p.Account.RoleARN, &p.Account.ExternalID, &p.Account.Own, &p.Region)
	})
	return out, pg.Translate(err)
}

// Tried stamps a place as tried.
func (s *Orphans) Tried(ctx context.Context, sweep, subject string) error {
	return recordAttempt(ctx, s.DB, sweep, subject)
}

// OpenLaunches lists the attempts to launch that are open and that nothing repeats: their
// replica has ended, or has an instance of another attempt.
func (s *Orphans) OpenLaunches(
	ctx context.Context,
	p activities.SweepPlace,
	grace time.Duration,
) ([]string, error) {
	rows, err := s.DB.Pool.Query(
		ctx,
		`
		SELECT l.client_token
		FROM launches l
		JOIN replicas r ON r.id = l.replica_id
		LEFT JOIN launches other ON other.replica_id = l.replica_id AND other.state = 'launched'
		WHERE l.client_id = $1
			AND l.state = 'requested'
			AND l.request->>'region' = $2
			AND l.created_at < now() - make_interval(secs => $3)
			AND least(r.ended_at, other.ended_at) < now() - make_interval(secs => $3)
		ORDER BY l.client_token`,
		p.Account.ClientID,
		p.Region,
		grace.Seconds(),
	)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, pg.Translate(err)
}

// CloseLaunches records how attempts ended, so that what was decided and what was made
// agree. Whether an instance that nothing waits for is ended, Suspects judges. A second run
// finds nothing that is open.
func (s *Orphans) CloseLaunches(
	ctx context.Context,
	p activities.SweepPlace,
	tokens []string,
	made map[string]string,
) error {
	ids := make([]string, 0, len(tokens))
	for _, t := range tokens {
		ids = append(ids, made[t])
	}
	_, err := s.DB.Pool.Exec(
		ctx,
		`
		UPDATE launches l
		SET state = 'failed',
			instance_id = nullif(v.id, ''),
			error_code = $4,
			error = CASE
				WHEN v.id = '' THEN 'EC2 did not answer in time, and shows no instance of this attempt'
				ELSE 'EC2 did not answer in time, and launched ' || v.id || ', which nothing waits for'
			END,
			ended_at = clock_timestamp()
		FROM unnest($2::text[], $3::text[]) AS v (token, id)
		WHERE l.client_token = v.token AND l.client_id = $1 AND l.state = 'requested'`,
		p.Account.ClientID,
		tokens,
		ids,
		string(replica.LaunchAbandoned),
	)
	return pg.Translate(err)
}

// judged gives each instance that the cloud showed a reason to be ended, or none.
// Something has a reason to live while it is a primary, a living replica's, still
// being handed over, or kept because its owner wished it. It is ours when its row is
// proven, or when EC2 shows the token of a launch that is on record: tags alone prove
// nothing. The parameters are the client, the ids, and per id the replica that its tags
// name and the token that it was launched with.
const judged = `
SELECT v.id, coalesce(i.agent_id, r.agent_id, '') AS agent_id,
	coalesce(i.proof <> 'unproven', false) OR l.client_token IS NOT NULL AS ours, CASE
		WHEN i.client_id <> $1 THEN NULL
		WHEN i.role = 'primary' OR i.terminate_by IN ('nobody', 'agent') THEN NULL
		WHEN living.id IS NOT NULL THEN NULL
		WHEN i.role = 'retiring'
		AND i.retiring_since > now() - make_interval(secs => coalesce(a.terminate_wait_seconds,
		0)) - interval '30 minutes' THEN NULL
		WHEN i.role = 'retiring' THEN 'its retirement was never finished'
		WHEN i.role = 'retired' THEN 'it was recorded as ended and lives'
		WHEN i.role = 'replica' THEN 'its replica has ended'
		WHEN r.id IS NULL THEN 'the decision that its tags name is not known'
		WHEN r.state IN ('requested', 'launching', 'running', 'ready', 'retiring')
		AND r.instance_id IS NULL
		AND r.created_at > now() - interval '1 hour' THEN NULL
		WHEN r.instance_id IS NOT NULL AND r.instance_id <> v.id THEN 'its replica lives on another instance'
		ELSE 'its replica ended without knowing it'
	END AS reason
FROM unnest($2::text[], $3::text[], $4::text[]) AS v (id, replica, token)
	LEFT JOIN instances i ON i.id = v.id
	LEFT JOIN replicas r ON r.id = v.replica AND r.client_id = $1
	LEFT JOIN launches l ON l.client_token = v.token AND l.client_id = $1
	LEFT JOIN agents a ON a.id = i.agent_id
	LEFT JOIN LATERAL (SELECT x.id
		FROM replicas x
		WHERE x.instance_id = v.id AND (x.state IN ('requested', 'launching', 'running', 'ready')
		OR x.state = 'retiring' AND i.retiring_since > now() - interval '30 minutes') LIMIT 1) living ON true`

// Suspects judges the instances that the cloud showed. It is asked after the
// cloud was, so that what was launched in between is not unknown to it.
func (s *Orphans) Suspects(
	ctx context.Context,
	p activities.SweepPlace,
	seen []activities.CloudInstance,
) ([]activities.Suspect, error) {
	ids, replicas, tokens := make([]string, 0, len(seen)), make([]string, 0, len(seen)), make([]string, 0, len(seen))
	for _, i := range seen {
		ids, replicas, tokens = append(ids, i.ID), append(replicas, i.Owner.ReplicaID), append(tokens, i.Token)
	}
	rows, err := s.DB.Pool.Query(ctx,
		`SELECT id, agent_id, reason, ours FROM (`+judged+`) j WHERE reason IS NOT NULL ORDER BY id`,
		p.Account.ClientID, ids, replicas, tokens)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[activities.Suspect])
	return out, pg.Translate(err)
}

// RecordSightings notes the suspects and reports each new one, forgets the
// instances that are no longer suspects, and answers those that were suspects already so long
// ago. Two sweeps at the same time are one sighting.
func (s *Orphans) RecordSightings(
	ctx context.Context,
	p activities.SweepPlace,
	seen []activities.CloudInstance,
	suspects []activities.Suspect,
	apart time.Duration,
) ([]string, error) {
	cleared, ids, reasons := []string{}, make([]string, 0, len(suspects)), make([]string, 0, len(suspects))
	is := map[string]bool{}
	for _, x := range suspects {
		ids, reasons, is[x.InstanceID] = append(ids, x.InstanceID), append(reasons, x.Reason), true
	}
	for _, i := range seen {
		if !is[i.ID] {
			cleared = append(cleared, i.ID)
		}
	}
	out := []string{}
	b := &pgx.Batch{}
	b.Queue(
		`
			DELETE FROM orphan_sightings
			WHERE client_id = $1
				AND terminated_at IS NULL
				AND (instance_id = ANY ($2) OR last_seen_at < now() - interval '1 hour')`,
		p.Account.ClientID,
		cleared,
	)
	b.Queue(
		`
		INSERT INTO orphan_sightings AS o (instance_id, client_id, reason)
		SELECT id, $1, reason
		FROM unnest($2::text[], $3::text[]) AS v (id, reason)
		ON CONFLICT (instance_id) DO UPDATE SET last_seen_at = now(), reason = excluded.reason,
			sightings = o.sightings + CASE WHEN o.last_seen_at < now() - $4::float8 * interval '1 second' THEN 1 ELSE 0 END
		WHERE o.client_id = excluded.client_id`,
		p.Account.ClientID,
		ids,
		reasons,
		apart.Seconds(),
	)
	b.Queue(`INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
		SELECT $1, nullif(agent, ''), 'orphan_found', 'warning', id || ' costs money and nothing needs it: ' || reason,
			jsonb_build_object('instance_id', id, 'reason', reason, 'region', $5::text), 'orphan-found:' || id
		FROM unnest($2::text[], $3::text[], $4::text[]) AS v (id, reason, agent) ON CONFLICT (dedup_key) DO NOTHING`,
		p.Account.ClientID, ids, reasons, agentsOf(suspects), p.Region)
	b.Queue(`
		SELECT instance_id
		FROM orphan_sightings
		WHERE client_id = $1 AND instance_id = ANY ($2) AND sightings > 1
		ORDER BY instance_id`, p.Account.ClientID, ids).
		Query(pg.CollectIDs(&out))
	if err := s.DB.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Translate(err)
	}
	return out, nil
}

func agentsOf(suspects []activities.Suspect) []string {
	out := make([]string, 0, len(suspects))
	for _, x := range suspects {
		out = append(out, x.AgentID)
	}
	return out
}

// MarkForTermination judges an instance once more and takes it out of its role, under the
// lock of its agent, by which every change of roles goes. One that no row knew
// gets one, so that an instance that is about to end is not adopted. False: it found a reason
// to live.
func (s *Orphans) MarkForTermination(
	ctx context.Context,
	p activities.SweepPlace,
	i activities.CloudInstance,
	x activities.Suspect,
) (bool, error) {
	guilty := false
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, pg.LockAgent, x.AgentID); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `SELECT reason IS NOT NULL AND ours FROM (`+judged+`) j`, p.Account.ClientID,
			[]string{i.ID}, []string{i.Owner.ReplicaID}, []string{i.Token}).Scan(&guilty)
		if err != nil || !guilty {
			return err
		}
		tag, err := tx.Exec(
			ctx,
			`
			INSERT INTO instances AS n (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode,
				launched_by, terminate_by, retiring_since, proof)
			SELECT $2, $1, (SELECT id FROM agents WHERE id = $3), 'retiring',
				coalesce(substring($4 FROM '^(.*)\.'), ''), $5, coalesce(substring($4 FROM '[^.]*$'), ''), $4, $6,
				'control-plane', 'us', now(), 'launched'
			ON CONFLICT (id)
			DO UPDATE SET role = 'retiring', terminate_by = 'us', retiring_since = coalesce(n.retiring_since, now()),
				terminated_at = NULL
			WHERE n.role <> 'primary' AND n.client_id = excluded.client_id`,
			p.Account.ClientID,
			i.ID,
			x.AgentID,
			i.PoolID,
			p.Region,
			cmp.Or(string(i.Mode), string(agent.ModeUnknown)),
		)
		guilty = err == nil && tag.RowsAffected() == 1
		return err
	})
	return guilty, err
}

// RecordTerminated records the end of an orphan, and reports it once.
func (s *Orphans) RecordTerminated(ctx context.Context, p activities.SweepPlace, x activities.Suspect) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE orphan_sightings SET terminated_at = coalesce(terminated_at, now()) WHERE instance_id = $1`,
		x.InstanceID)
	b.Queue(
		`
			UPDATE instances
			SET role = 'retired', terminated_at = coalesce(terminated_at, now())
			WHERE id = $1 AND role <> 'primary'`,
		x.InstanceID,
	)
	b.Queue(
		`
			UPDATE replicas
			SET state = 'retired', ended_at = coalesce(ended_at, now())
			WHERE instance_id = $1 AND state = 'retiring'`,
		x.InstanceID,
	)
	b.Queue(`INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
		VALUES ($1, nullif($2, ''), 'orphan_terminated', 'warning', $3 || ' was terminated: ' || $4,
			jsonb_build_object('instance_id', $3::text, 'reason', $4::text), 'orphan-ended:' || $3)
		ON CONFLICT (dedup_key) DO NOTHING`, p.Account.ClientID, x.AgentID, x.InstanceID, x.Reason)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}
