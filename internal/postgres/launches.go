package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// Launches stores attempts to launch, what they copy, how pools fared, and the
// end of instances.
type Launches struct{ DB *pg.DB }

var (
	_ activities.RoleStore     = (*Roles)(nil)
	_ activities.InstanceStore = (*Launches)(nil)
)

// LaunchPlace says for whom and beside which primary a replica is launched. Fails
// with replica.not_found, with replica.already_ended when it is not open, with
// agent.not_found when its agent has no primary to copy, and with instance.unproven when
// only an agent's claim says that the primary is the client's.
func (s *Launches) LaunchPlace(ctx context.Context, replicaID string) (*activities.LaunchPlace, error) {
	var out activities.LaunchPlace
	var state replica.State
	var primary, region *string
	var proof adoption.Proof
	err := s.DB.Pool.QueryRow(
		ctx,
		`
		SELECT c.id, c.role_arn, c.external_id, c.own_account, r.state, p.id, p.region, coalesce(p.proof, 'unproven'),
			coalesce(p.installed_at > now() - interval '2 minutes', false)
		FROM replicas r
		JOIN clients c ON c.id = r.client_id
		LEFT JOIN instances p ON p.agent_id = r.agent_id AND p.role = 'primary'
		WHERE r.id = $1`,
		replicaID,
	).Scan(&out.Account.ClientID, &out.Account.RoleARN, &out.Account.ExternalID,
		&out.Account.Own, &state, &primary, &region, &proof, &out.Young)
	switch {
	case pg.IsNoRows(err):
		return nil, replica.NotFound.New("there is no replica %s", replicaID)
	case err != nil:
		return nil, pg.Translate(err)
	case !state.IsOpen():
		return nil, replica.AlreadyEnded.New("replica %s is %s", replicaID, state)
	case primary == nil:
		return nil, agent.NotFound.New("the agent of replica %s has no primary", replicaID)
	}
	if proof == adoption.Unproven {
		return nil, adoption.NotProven.New("instance %s is not proven to be the client's, and is not copied", *primary)
	}
	out.PrimaryID, out.Region = *primary, *region
	return &out, nil
}

// selectLaunch reads the last attempt in a pool.
const selectLaunch = `
SELECT client_token, request, state, coalesce(instance_id, ''), attempt
FROM launches
WHERE replica_id = $1 AND pool_id = $2 AND mode = $3
ORDER BY attempt DESC
LIMIT 1`

func scanLaunch(row pgx.Row) (*activities.FrozenLaunch, error) {
	var out activities.FrozenLaunch
	if err := row.Scan(&out.Token, &out.Request, &out.State, &out.InstanceID, &out.Attempt); err != nil {
		return nil, err
	}
	return &out, nil
}

// FrozenLaunch finds the last attempt of a replica in a pool, nil when there is none.
func (s *Launches) FrozenLaunch(
	ctx context.Context,
	replicaID string,
	where replica.Candidate,
) (*activities.FrozenLaunch, error) {
	out, err := scanLaunch(s.DB.Pool.QueryRow(ctx, selectLaunch, replicaID, where.PoolID, where.Mode))
	if pg.IsNoRows(err) {
		return nil, nil //nolint:nilnil // there being none is an answer, not a failure
	}
	return out, pg.Translate(err)
}

// FreezeLaunch stores an attempt before it is made. The second caller gets the
// first one's request, whatever it would have asked itself.
func (s *Launches) FreezeLaunch(
	ctx context.Context,
	replicaID string,
	where replica.Candidate,
	f activities.FrozenLaunch,
) (*activities.FrozenLaunch, error) {
	b := &pgx.Batch{}
	var out *activities.FrozenLaunch
	b.Queue(`INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request, attempt)
		SELECT $4, client_id, agent_id, id, $2, $3, $5, $6 FROM replicas WHERE id = $1
		ON CONFLICT ON CONSTRAINT launches_one_per_replica_pool_and_attempt DO NOTHING`,
		replicaID, where.PoolID, where.Mode, f.Token, f.Request, f.Attempt)
	b.Queue(selectLaunch, replicaID, where.PoolID, where.Mode).QueryRow(func(row pgx.Row) (err error) {
		out, err = scanLaunch(row)
		if pg.IsNoRows(err) {
			err = replica.NotFound.New("there is no replica %s", replicaID)
		}
		return err
	})
	if err := s.DB.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Translate(err)
	}
	return out, nil
}

var _ = pg.RegisterConstraint("launches_one_instance_per_replica", replica.AlreadyExists,
	"the replica has an instance of another attempt")

// EndLaunch records how an attempt ended, and with an instance gives it its row:
// from here on it can be watched and ended, even if the process that launched it dies. An
// instance whose replica was given up meanwhile is retiring from the start. A failed attempt
// may launch after all when it is made again. An attempt whose instance died is failed and
// keeps that instance's id. An end with an instance and a code is a failed attempt whose
// instance was ended at once: that instance gets no row. Fails with replica.already_exists
// when the replica has an instance of another attempt.
func (s *Launches) EndLaunch(ctx context.Context, token string, end activities.LaunchEnd) error {
	b := &pgx.Batch{}
	b.Queue(
		`
		UPDATE launches
		SET state = CASE WHEN $2 <> '' AND $3 = '' THEN 'launched' ELSE 'failed' END,
			instance_id = coalesce(nullif($2, ''), instance_id),
			error_code = nullif($3, ''), error = nullif($4, ''), ended_at = clock_timestamp()
		WHERE client_token = $1`,
		token,
		end.InstanceID,
		end.Code,
		end.Error,
	)
	if end.InstanceID != "" && end.Code == "" {
		b.Queue(
			`
			INSERT INTO instances (id, client_id, agent_id, instance_type, az, region, pool_id, mode, launched_by,
				proof, role, terminate_by, retiring_since)
			SELECT l.instance_id, l.client_id, l.agent_id,
				coalesce(l.request->>'instance_type', substring(l.pool_id FROM '^(.*)\.')),
				coalesce(l.request->>'az', substring(l.pool_id FROM '[^.]*$')),
				coalesce(l.request->>'region', p.region, ''), l.pool_id, l.mode, 'control-plane', 'launched',
				CASE WHEN o.open THEN 'replica' ELSE 'retiring' END, CASE WHEN o.open THEN '' ELSE 'us' END,
				CASE WHEN NOT o.open THEN clock_timestamp() END
			FROM launches l
			JOIN replicas r ON r.id = l.replica_id
			LEFT JOIN instances p ON p.agent_id = l.agent_id AND p.role = 'primary',
				LATERAL (SELECT r.state IN ('requested', 'launching', 'running', 'ready') AS open) o
			WHERE l.client_token = $1
			ON CONFLICT (id)
			DO UPDATE SET proof = 'launched', adopted_at = NULL
			WHERE instances.client_id = excluded.client_id`,
			token,
		)
	}
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// Template returns what was remembered, nil when nothing was.
func (s *Launches) Template(ctx context.Context, agentID string) (json.RawMessage, error) {
	var out json.RawMessage
	err := s.DB.Pool.QueryRow(ctx, `SELECT template FROM launch_templates WHERE agent_id = $1`, agentID).Scan(&out)
	if pg.IsNoRows(err) {
		return nil, nil
	}
	return out, pg.Translate(err)
}

// Whereabouts says where an instance of the agent is. Fails with
// agent.instance_of_another_tenant.
func (s *Launches) Whereabouts(ctx context.Context, agentID, instanceID string) (*activities.EndingInstance, error) {
	var out activities.EndingInstance
	err := s.DB.Pool.QueryRow(
		ctx,
		`
		SELECT i.region, c.id, c.role_arn, c.external_id, c.own_account, i.terminated_at IS NOT NULL, i.created_at,
			i.proof
		FROM instances i JOIN clients c ON c.id = i.client_id WHERE i.id = $2 AND i.agent_id = $1`,
		agentID,
		instanceID,
	).
		Scan(&out.Region, &out.Account.ClientID, &out.Account.RoleARN, &out.Account.ExternalID, &out.Account.Own,
			&out.Ended, &out.LaunchedAt, &out.Proof)
	if pg.IsNoRows(err) {
		return nil, agent.InstanceOfOtherTenant.New("instance %s is not this agent's", instanceID)
	}
	return &out, pg.Translate(err)
}

// forgetInstance takes an instance out of every role without ending it, and records why.
const forgetInstance = `
WITH forgotten AS (
    UPDATE instances
    SET role = 'retired',
        terminate_by = 'nobody',
        retiring_since = coalesce(retiring_since, clock_timestamp())
    WHERE id = $1
      AND agent_id = $2
      AND role <> 'primary'
    RETURNING id, client_id, agent_id, proof),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
    SELECT client_id, agent_id, 'termination_refused', 'warning', id || ' is not ended: ' || $4::text,
        jsonb_build_object('instance_id', id, 'code', $3::text, 'proof', proof), 'termination-refused:' || id
    FROM forgotten
    ON CONFLICT (dedup_key) DO NOTHING)
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT client_id, id || ' is not ended by us and may still cost money: ' || $4::text, 'warning',
    'termination-refused:' || id
FROM forgotten
WHERE proof <> 'unproven'
ON CONFLICT (dedup_key) DO NOTHING`

// Forget records that an instance is not ended, and why: for us it is over. A primary
// stays what it is. A second call finds it forgotten.
func (s *Launches) Forget(ctx context.Context, agentID, instanceID string, refusal activities.LaunchEnd) error {
	_, err := s.DB.Pool.Exec(ctx, forgetInstance, instanceID, agentID, refusal.Code, refusal.Error)
	return pg.Translate(err)
}
