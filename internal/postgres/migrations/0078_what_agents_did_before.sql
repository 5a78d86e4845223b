-- +goose NO TRANSACTION
-- +goose Up
-- What agents decided and reported before there were rows for it. It reads and locks
-- nothing that others write; a second run changes nothing.
-- +goose StatementBegin
INSERT INTO agent_decisions (agent_id, at, actions, modes, risks, savings)
SELECT a.id, array_agg(d.created_at ORDER BY d.id DESC), array_agg(d.action ORDER BY d.id DESC), array_agg(d.current_mode ORDER BY d.id DESC),
    array_agg(d.risk_score::float8 ORDER BY d.id DESC), array_agg(d.expected_savings::float8 ORDER BY d.id DESC)
FROM agents a
CROSS JOIN LATERAL (
    SELECT *
    FROM decisions
    WHERE agent_id = a.id AND NOT shadow
    ORDER BY id DESC
    LIMIT 5) d
GROUP BY a.id
ON CONFLICT DO NOTHING;
-- +goose StatementEnd

-- +goose StatementBegin
INSERT INTO agent_reports (agent_id, at, on_demand, spot)
SELECT agent_id, (array_agg(at ORDER BY at DESC))[1:24], (array_agg(on_demand ORDER BY at DESC))[1:24], (array_agg(spot ORDER BY at DESC))[1:24]
FROM (
    SELECT s.agent_id, s.received_at AS at, (coalesce(max(s.ondemand_price), 0) * 1e6)::bigint AS on_demand,
        (coalesce(min(s.price) FILTER (WHERE s.pool_id = i.pool_id), min(s.price)) * 1e6)::bigint AS spot
    FROM price_submissions s
    JOIN agents a ON a.id = s.agent_id
    LEFT JOIN instances i ON i.agent_id = s.agent_id AND i.role = 'primary'
    WHERE s.received_at > now() - interval '1 hour' AND s.observed_at > now() - interval '2 hours'
    GROUP BY s.agent_id, s.received_at) r
GROUP BY agent_id
ON CONFLICT DO NOTHING;
-- +goose StatementEnd

-- +goose Down
SELECT 1;
