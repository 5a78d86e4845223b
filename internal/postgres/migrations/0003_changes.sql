-- +goose Up
-- What changed lately, for the stream of events and the lists by time.
CREATE INDEX operations_updated_idx ON operations (updated_at);
CREATE INDEX notices_changed_idx ON notices (coalesce(decided_at, delivered_at, received_at));
CREATE INDEX role_changes_changed_idx ON role_changes (changed_at);
CREATE INDEX notifications_created_idx ON notifications (created_at DESC);
CREATE INDEX price_submissions_agent_idx ON price_submissions (agent_id, received_at DESC) WHERE agent_id IS NOT NULL;

-- +goose Down
DROP INDEX price_submissions_agent_idx, notifications_created_idx, role_changes_changed_idx, notices_changed_idx, operations_updated_idx;
