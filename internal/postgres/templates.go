package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// Templates lists new primaries whose template was never read.
type Templates struct {
	Launches
}

var _ activities.TemplateStore = (*Templates)(nil)

// FreshPrimaries lists primaries that became it within the span, that the control
// plane launches for, and whose template was never read, oldest first and without
// those named. It is asked every two seconds and goes by instances_primary_since_idx.
func (s *Templates) FreshPrimaries(
	ctx context.Context, within time.Duration, without []string, limit int,
) ([]activities.FreshPrimary, error) {
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT a.id, i.id, i.region, c.id, c.role_arn, c.external_id, c.own_account,
			extract(epoch FROM clock_timestamp() - i.primary_since)::float8
		FROM instances i
		JOIN agents a ON a.id = i.agent_id
		JOIN clients c ON c.id = a.client_id
		WHERE i.role = 'primary' AND i.primary_since > now() - $1::float8 * interval '1 second'
			AND i.region <> '' AND i.proof <> 'unproven' AND a.status <> 'deleted' AND a.launcher = 'control-plane'
			AND i.id <> ALL ($2::text[])
			AND NOT EXISTS (SELECT FROM launch_templates t WHERE t.agent_id = a.id AND t.instance_id = i.id)
		ORDER BY i.primary_since
		LIMIT $3`, within.Seconds(), without, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.FreshPrimary, err error) {
		var age float64
		err = row.Scan(&p.AgentID, &p.InstanceID, &p.Region, &p.Account.ClientID, &p.Account.RoleARN,
			&p.Account.ExternalID, &p.Account.Own, &age)
		p.Age = time.Duration(age * float64(time.Second))
		return p, err
	})
	return out, pg.Translate(err)
}

// keepTemplate stores a template, with a new revision when it has changed. It notifies the
// client once of what a replacement cannot have.
const keepTemplate = `
WITH kept AS (
	INSERT INTO launch_templates AS t (agent_id, instance_id, template)
	SELECT id, $2, $3
	FROM agents
	WHERE id = $1
	ON CONFLICT (agent_id) DO UPDATE
	SET instance_id = excluded.instance_id,
		template = excluded.template,
		read_at = now(),
		revision = t.revision + CASE WHEN t.template <> excluded.template THEN 1 ELSE 0 END,
		changed_at = CASE WHEN t.template <> excluded.template THEN now() ELSE t.changed_at END
	RETURNING agent_id, template
), noted AS ( -- all instances of an agent are twins
	UPDATE instances i
	SET product = coalesce(k.template->>'product', ''),
		volumes = coalesce(v.gib, '{}')
	FROM kept k
	LEFT JOIN LATERAL (
		SELECT jsonb_object_agg(x.kind, x.gib) AS gib
		FROM (
			SELECT v->>'type' AS kind, sum((v->>'gib')::int) AS gib
			FROM jsonb_array_elements(coalesce(k.template->'volumes', '[]')) AS v
			WHERE coalesce(v->>'type', '') <> ''
			  AND v->>'gib' IS NOT NULL
			GROUP BY 1) x) v ON true
	WHERE i.agent_id = k.agent_id
	  AND i.role <> 'retired'
	  AND (i.product, i.volumes) IS DISTINCT FROM (coalesce(k.template->>'product', ''), coalesce(v.gib, '{}'))
), lacking AS (
	SELECT k.agent_id, string_agg(x.what, '; ' ORDER BY x.what) AS what
	FROM kept k,
		jsonb_array_elements_text(coalesce(k.template->'not_copied', '[]') || coalesce(k.template->'unread',
		'[]')) AS x (what)
	GROUP BY k.agent_id
)
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT a.client_id,
	'A replacement of ' || a.logical_agent_id || ' would lack: ' || l.what,
	'warning',
	'twin:' || a.id || ':' || md5(l.what)
FROM lacking l
JOIN agents a ON a.id = l.agent_id
ON CONFLICT (dedup_key) DO NOTHING`

// KeepTemplate stores what an agent's instances are launched with, and when it was read.
// The same template again changes nothing but that moment.
func (s *Launches) KeepTemplate(ctx context.Context, agentID, instanceID string, template json.RawMessage) error {
	_, err := s.DB.Pool.Exec(ctx, keepTemplate, agentID, instanceID, template)
	return pg.Translate(err)
}
