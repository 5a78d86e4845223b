-- +goose Up
-- Who is who, who plays which part, and what was decided. Invariants are
-- constraints with names; docs/architecture.md says which is which.

CREATE TABLE clients (
    id            text PRIMARY KEY,
    name          text NOT NULL CONSTRAINT clients_name_length CHECK (length(name) BETWEEN 1 AND 255),
    email         text NOT NULL CONSTRAINT clients_email_length CHECK (length(email) BETWEEN 1 AND 255),
    status        text NOT NULL DEFAULT 'active' CONSTRAINT clients_status CHECK (status IN ('active', 'inactive')),
    token_hash    bytea NOT NULL CONSTRAINT clients_token_hash_key UNIQUE, -- SHA-256, for the look-up
    token_sealed  bytea NOT NULL, -- AES-GCM, because it must be shown again
    launcher      text NOT NULL DEFAULT 'control-plane' CONSTRAINT clients_launcher CHECK (launcher IN ('control-plane', 'agent')),
    role_arn      text NOT NULL DEFAULT '', -- cross-account role; empty: our own account
    external_id   text NOT NULL DEFAULT gen_random_uuid()::text,
    plan          text NOT NULL DEFAULT 'free',
    paused_until  timestamptz, -- no voluntary moves before
    total_savings numeric(16, 6) NOT NULL DEFAULT 0,
    last_sync_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX clients_name_key ON clients (lower(name));
CREATE UNIQUE INDEX clients_email_key ON clients (lower(email));

CREATE TABLE agents (
    id                 text PRIMARY KEY,
    client_id          text NOT NULL CONSTRAINT agents_client_fk REFERENCES clients ON DELETE CASCADE,
    logical_agent_id   text NOT NULL CONSTRAINT agents_logical_agent_id_length CHECK (length(logical_agent_id) BETWEEN 1 AND 255),
    hostname           text NOT NULL DEFAULT '',
    status             text NOT NULL DEFAULT 'online'
        CONSTRAINT agents_status CHECK (status IN ('online', 'offline', 'disabled', 'switching', 'error', 'deleted')),
    agent_version      text NOT NULL DEFAULT '',
    private_ip         text,
    public_ip          text,
    launcher           text NOT NULL DEFAULT 'control-plane' CONSTRAINT agents_launcher CHECK (launcher IN ('control-plane', 'agent')),
    epoch              bigint NOT NULL DEFAULT 0,
    keeping            text NOT NULL DEFAULT 'auto' CONSTRAINT agents_keeping CHECK (keeping IN ('off', 'manual', 'auto')),
    failures           int NOT NULL DEFAULT 0, -- standbys that failed in a row
    enabled            boolean NOT NULL DEFAULT true,
    auto_terminate_enabled boolean NOT NULL DEFAULT true,
    terminate_wait_seconds int NOT NULL DEFAULT 300 CONSTRAINT agents_terminate_wait CHECK (terminate_wait_seconds BETWEEN 0 AND 604800),
    replica_enabled    boolean NOT NULL DEFAULT false, -- legacy settings, shown and kept
    replica_count      int NOT NULL DEFAULT 0 CONSTRAINT agents_replica_count CHECK (replica_count BETWEEN 0 AND 10),
    min_savings_percent     numeric(5, 2) NOT NULL DEFAULT 15.00 CONSTRAINT agents_min_savings CHECK (min_savings_percent BETWEEN 0 AND 100),
    risk_threshold          numeric(4, 3) NOT NULL DEFAULT 0.30 CONSTRAINT agents_risk_threshold CHECK (risk_threshold BETWEEN 0 AND 1),
    max_switches_per_week   int NOT NULL DEFAULT 10 CONSTRAINT agents_switches_per_week CHECK (max_switches_per_week >= 0),
    max_switches_per_day    int NOT NULL DEFAULT 3 CONSTRAINT agents_switches_per_day CHECK (max_switches_per_day >= 0),
    min_pool_duration_hours int NOT NULL DEFAULT 2 CONSTRAINT agents_min_pool_duration CHECK (min_pool_duration_hours >= 0),
    paused_until       timestamptz,
    last_heartbeat_at  timestamptz,
    last_switch_at     timestamptz,
    last_failover_at   timestamptz,
    last_rebalance_at  timestamptz,
    last_cleanup_at    timestamptz,
    interruptions_handled int NOT NULL DEFAULT 0,
    woken_at           timestamptz, -- when the redelivery last woke its Guardian
    terminated_at      timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agents_logical_key UNIQUE (client_id, logical_agent_id)
);
CREATE INDEX agents_heartbeat_idx ON agents (last_heartbeat_at) WHERE status = 'online';

CREATE TABLE instances (
    id             text PRIMARY KEY CONSTRAINT instances_id_length CHECK (length(id) BETWEEN 1 AND 64),
    client_id      text NOT NULL CONSTRAINT instances_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id       text CONSTRAINT instances_agent_fk REFERENCES agents ON DELETE CASCADE,
    role           text NOT NULL CONSTRAINT instances_role CHECK (role IN ('primary', 'replica', 'retiring', 'retired')),
    instance_type  text NOT NULL,
    region         text NOT NULL,
    az             text NOT NULL,
    pool_id        text NOT NULL, -- <type>.<az>, whatever the mode
    mode           text NOT NULL DEFAULT 'unknown' CONSTRAINT instances_mode CHECK (mode IN ('spot', 'ondemand', 'unknown')),
    ami_id         text NOT NULL DEFAULT '',
    launched_by    text NOT NULL DEFAULT 'agent' CONSTRAINT instances_launched_by CHECK (launched_by IN ('control-plane', 'agent')),
    epoch          bigint NOT NULL DEFAULT 0, -- at which it became primary
    spot_price     numeric(12, 6) CONSTRAINT instances_spot_price CHECK (spot_price >= 0),
    ondemand_price numeric(12, 6) CONSTRAINT instances_ondemand_price CHECK (ondemand_price >= 0),
    baseline_price numeric(12, 6) CONSTRAINT instances_baseline_price CHECK (baseline_price >= 0),
    last_seen_at   timestamptz, -- a heartbeat or register from it
    installed_at   timestamptz NOT NULL DEFAULT now(),
    primary_since  timestamptz,
    retiring_since timestamptz,
    terminate_by   text NOT NULL DEFAULT '' CONSTRAINT instances_terminate_by CHECK (terminate_by IN ('', 'us', 'aws', 'agent', 'nobody')),
    terminated_at  timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT instances_primary_has_agent CHECK (role <> 'primary' OR agent_id IS NOT NULL),
    CONSTRAINT instances_primary_is_alive CHECK (role <> 'primary' OR terminated_at IS NULL)
);
CREATE UNIQUE INDEX instances_one_primary_per_agent ON instances (agent_id) WHERE role = 'primary';
CREATE INDEX instances_agent_idx ON instances (agent_id, role);
CREATE INDEX instances_client_idx ON instances (client_id, created_at DESC);
CREATE INDEX instances_retiring_idx ON instances (retiring_since) WHERE role = 'retiring';

CREATE TABLE pools (
    id            text PRIMARY KEY,
    instance_type text NOT NULL,
    region        text NOT NULL,
    az            text NOT NULL,
    is_active     boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pools_place_key UNIQUE (instance_type, region, az)
);
CREATE INDEX pools_region_idx ON pools (region, instance_type);

CREATE TABLE pool_health (
    client_id       text NOT NULL CONSTRAINT pool_health_client_fk REFERENCES clients ON DELETE CASCADE,
    pool_id         text NOT NULL,
    mode            text NOT NULL CONSTRAINT pool_health_mode CHECK (mode IN ('spot', 'ondemand')),
    failures        int NOT NULL DEFAULT 0, -- in a row
    last_code       text NOT NULL DEFAULT '',
    last_failed_at  timestamptz,
    retry_after     timestamptz,
    last_success_at timestamptz,
    PRIMARY KEY (client_id, pool_id, mode)
);

CREATE TABLE commands (
    id             text PRIMARY KEY,
    client_id      text NOT NULL CONSTRAINT commands_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id       text NOT NULL CONSTRAINT commands_agent_fk REFERENCES agents ON DELETE CASCADE,
    command_type   text NOT NULL DEFAULT 'switch' CONSTRAINT commands_type CHECK (command_type IN ('switch', 'create_replica')),
    instance_id    text NOT NULL, -- the primary it was meant for
    launcher       text NOT NULL CONSTRAINT commands_launcher CHECK (launcher IN ('control-plane', 'agent')),
    target_mode    text NOT NULL CONSTRAINT commands_target_mode CHECK (target_mode IN ('spot', 'ondemand')),
    target_pool_id text CONSTRAINT commands_pool_length CHECK (length(target_pool_id) <= 100),
    instance_type  text,
    priority       int NOT NULL DEFAULT 5 CONSTRAINT commands_priority CHECK (priority BETWEEN 0 AND 100),
    terminate_wait_seconds int NOT NULL DEFAULT 0 CONSTRAINT commands_terminate_wait CHECK (terminate_wait_seconds >= 0),
    status         text NOT NULL DEFAULT 'pending' CONSTRAINT commands_status CHECK (status IN ('pending', 'completed', 'failed', 'cancelled')),
    created_by     text NOT NULL DEFAULT '',
    reason         text NOT NULL DEFAULT '',
    leased_to      text, -- the instance it was delivered to
    leased_until   timestamptz,
    deliveries     int NOT NULL DEFAULT 0,
    success        boolean,
    message        text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    executed_at    timestamptz,
    told_at        timestamptz, -- its switch has heard how it went
    CONSTRAINT commands_spot_names_its_pool CHECK (target_mode <> 'spot' OR target_pool_id IS NOT NULL),
    CONSTRAINT commands_done_has_time CHECK ((status IN ('completed', 'failed')) = (executed_at IS NOT NULL))
);
CREATE INDEX commands_pending_idx ON commands (agent_id, priority DESC, created_at) WHERE status = 'pending';
CREATE INDEX commands_untold_idx ON commands (executed_at) WHERE told_at IS NULL AND executed_at IS NOT NULL;
CREATE UNIQUE INDEX commands_one_open_switch_per_agent ON commands (agent_id) WHERE status = 'pending' AND command_type = 'switch';

CREATE TABLE replicas (
    id             text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    client_id      text NOT NULL CONSTRAINT replicas_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id       text NOT NULL CONSTRAINT replicas_agent_fk REFERENCES agents ON DELETE CASCADE,
    kind           text NOT NULL CONSTRAINT replicas_kind CHECK (kind IN ('manual', 'rebalance', 'termination', 'switch')),
    made_for       text NOT NULL, -- the instance it stands by for, or the command
    state          text NOT NULL DEFAULT 'requested'
        CONSTRAINT replicas_state CHECK (state IN ('requested', 'launching', 'running', 'ready', 'promoted', 'retiring', 'retired', 'failed')),
    launcher       text NOT NULL CONSTRAINT replicas_launcher CHECK (launcher IN ('control-plane', 'agent')),
    plan           jsonb NOT NULL DEFAULT '{}', -- replica.Plan, frozen
    pool_id        text,   -- where it lives, or will if an agent launches it
    mode           text NOT NULL DEFAULT 'spot' CONSTRAINT replicas_mode CHECK (mode IN ('spot', 'ondemand')),
    instance_id    text,
    hold           interval,
    hold_until     timestamptz,
    not_before     timestamptz, -- back-off
    request_id     text CONSTRAINT replicas_one_per_request UNIQUE, -- the update that asked for it
    created_by     text NOT NULL DEFAULT '',
    reason         text NOT NULL DEFAULT '',
    tags           jsonb NOT NULL DEFAULT '{}',
    hourly_cost    numeric(12, 6),
    total_cost     numeric(14, 6) NOT NULL DEFAULT 0,
    sync_status    text NOT NULL DEFAULT 'initializing'
        CONSTRAINT replicas_sync_status CHECK (sync_status IN ('initializing', 'syncing', 'synced', 'out-of-sync')),
    sync_latency_ms int CONSTRAINT replicas_sync_latency CHECK (sync_latency_ms >= 0),
    sync_progress  numeric(5, 2) NOT NULL DEFAULT 0 CONSTRAINT replicas_sync_progress CHECK (sync_progress BETWEEN 0 AND 100),
    last_sync_at   timestamptz,
    error_code     text,
    error          text,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    launched_at    timestamptz,
    running_at     timestamptz,
    ready_at       timestamptz,
    promoted_at    timestamptz,
    ended_at       timestamptz,
    CONSTRAINT replicas_promoted_has_instance CHECK (state <> 'promoted' OR instance_id IS NOT NULL)
);
CREATE UNIQUE INDEX replicas_one_open_per_cause ON replicas (agent_id, made_for, kind)
    WHERE state IN ('requested', 'launching', 'running', 'ready');
CREATE UNIQUE INDEX replicas_one_manual_per_agent ON replicas (agent_id)
    WHERE kind = 'manual' AND state IN ('requested', 'launching', 'running', 'ready');
CREATE UNIQUE INDEX replicas_one_emergency_per_agent ON replicas (agent_id)
    WHERE kind IN ('rebalance', 'termination') AND state IN ('requested', 'launching', 'running', 'ready');
CREATE UNIQUE INDEX replicas_one_switch_per_agent ON replicas (agent_id)
    WHERE kind = 'switch' AND state IN ('requested', 'launching', 'running', 'ready');
-- A demoted primary was a promoted replica once, so only the living are unique.
CREATE UNIQUE INDEX replicas_one_living_per_instance ON replicas (instance_id)
    WHERE state IN ('requested', 'launching', 'running', 'ready', 'retiring');
CREATE INDEX replicas_open_idx ON replicas (agent_id) WHERE state IN ('requested', 'launching', 'running', 'ready');
CREATE INDEX replicas_agent_idx ON replicas (agent_id, created_at DESC);

-- One row per attempt to launch: the decision, its token and the frozen request.
CREATE TABLE launches (
    client_token text PRIMARY KEY CONSTRAINT launches_token_length CHECK (length(client_token) BETWEEN 1 AND 64),
    client_id    text NOT NULL CONSTRAINT launches_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id     text NOT NULL CONSTRAINT launches_agent_fk REFERENCES agents ON DELETE CASCADE,
    replica_id   text NOT NULL CONSTRAINT launches_replica_fk REFERENCES replicas ON DELETE CASCADE,
    pool_id      text NOT NULL,
    mode         text NOT NULL CONSTRAINT launches_mode CHECK (mode IN ('spot', 'ondemand')),
    request      jsonb NOT NULL, -- fleet.LaunchRequest, frozen at the first attempt
    state        text NOT NULL DEFAULT 'requested' CONSTRAINT launches_state CHECK (state IN ('requested', 'launched', 'failed')),
    instance_id  text,
    error_code   text,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    CONSTRAINT launches_one_per_replica_and_pool UNIQUE (replica_id, pool_id, mode),
    CONSTRAINT launches_launched_has_instance CHECK (state <> 'launched' OR instance_id IS NOT NULL)
);
CREATE UNIQUE INDEX launches_one_instance_per_replica ON launches (replica_id) WHERE state = 'launched';

-- What a new instance copies from the primary, kept for when the primary is gone.
CREATE TABLE launch_templates (
    agent_id    text PRIMARY KEY CONSTRAINT launch_templates_agent_fk REFERENCES agents ON DELETE CASCADE,
    instance_id text NOT NULL, -- the one it was read from
    template    jsonb NOT NULL,
    read_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE notices (
    client_id    text NOT NULL CONSTRAINT notices_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id     text NOT NULL CONSTRAINT notices_agent_fk REFERENCES agents ON DELETE CASCADE,
    instance_id  text NOT NULL,
    kind         text NOT NULL CONSTRAINT notices_kind CHECK (kind IN ('rebalance-recommendation', 'termination-notice')),
    deadline     timestamptz NOT NULL,
    door         text NOT NULL DEFAULT 'http' CONSTRAINT notices_door CHECK (door IN ('http', 'eventbridge', 'sweep')),
    arrivals     int NOT NULL DEFAULT 1, -- how often it was told
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz, -- a Guardian took it
    result       text NOT NULL DEFAULT '' CONSTRAINT notices_result CHECK (result IN ('', 'promoted', 'stood_down', 'not_primary', 'lost')),
    replica_id   text,
    new_primary  text,
    decided_at   timestamptz,
    CONSTRAINT notices_once PRIMARY KEY (agent_id, instance_id, kind),
    CONSTRAINT notices_promoted_names_heir CHECK ((result = 'promoted') = (new_primary IS NOT NULL))
);
CREATE INDEX notices_undelivered_idx ON notices (received_at) WHERE delivered_at IS NULL;
CREATE INDEX notices_open_idx ON notices (agent_id) WHERE result IN ('', 'lost');

CREATE TABLE role_changes (
    client_id    text NOT NULL CONSTRAINT role_changes_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id     text NOT NULL CONSTRAINT role_changes_agent_fk REFERENCES agents ON DELETE CASCADE,
    epoch        bigint NOT NULL, -- the new one
    old_id       text NOT NULL,
    new_id       text NOT NULL,
    replica_id   text NOT NULL CONSTRAINT role_changes_replica_key UNIQUE, -- a replica is promoted at most once
    cause        text NOT NULL CONSTRAINT role_changes_cause CHECK (cause IN ('termination', 'switch', 'promotion', 'takeover')),
    operation_id text NOT NULL DEFAULT '',
    changed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT role_changes_once_per_epoch PRIMARY KEY (agent_id, epoch)
);

-- What the signals looked like, for the statistics of risk. Kept when the agent goes.
CREATE TABLE interruptions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id     text NOT NULL CONSTRAINT interruptions_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id      text CONSTRAINT interruptions_agent_fk REFERENCES agents ON DELETE SET NULL,
    instance_id   text NOT NULL,
    kind          text NOT NULL CONSTRAINT interruptions_kind CHECK (kind IN ('rebalance-recommendation', 'termination-notice')),
    pool_id       text NOT NULL DEFAULT '',
    region        text NOT NULL DEFAULT '',
    az            text NOT NULL DEFAULT '',
    instance_type text NOT NULL DEFAULT '',
    instance_age  interval,
    detected_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT interruptions_once UNIQUE (client_id, instance_id, kind)
);
CREATE INDEX interruptions_pool_idx ON interruptions (pool_id, detected_at DESC);

CREATE TABLE switches (
    id             text PRIMARY KEY, -- the command's id, or the key of a report nobody ordered
    client_id      text NOT NULL CONSTRAINT switches_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id       text NOT NULL CONSTRAINT switches_agent_fk REFERENCES agents ON DELETE CASCADE,
    operation_id   text NOT NULL DEFAULT '',
    trigger        text NOT NULL DEFAULT 'manual' CONSTRAINT switches_trigger_length CHECK (length(trigger) <= 20),
    phase          text NOT NULL DEFAULT 'launching'
        CONSTRAINT switches_phase CHECK (phase IN ('launching', 'waiting_until_ready', 'cutting_over', 'retiring_old', 'done', 'abandoned')),
    old_id         text NOT NULL DEFAULT '',
    new_id         text NOT NULL DEFAULT '',
    from_mode      text NOT NULL DEFAULT '',
    to_mode        text NOT NULL DEFAULT '',
    from_pool      text,
    to_pool        text,
    on_demand      numeric(12, 6),
    old_spot       numeric(12, 6),
    new_spot       numeric(12, 6),
    savings_impact numeric(12, 6), -- USD per hour, positive is cheaper
    timing         jsonb NOT NULL DEFAULT '{}',
    snapshot       jsonb NOT NULL DEFAULT '{}',
    report_key     text CONSTRAINT switches_report_key UNIQUE, -- a report that comes again is the same switch
    reported_at    timestamptz, -- the agent's report arrived
    told_at        timestamptz, -- and a workflow has heard of it
    error_code     text,
    initiated_at   timestamptz NOT NULL DEFAULT now(),
    launched_at    timestamptz,
    ready_at       timestamptz,
    cut_over_at    timestamptz,
    ended_at       timestamptz
);
CREATE INDEX switches_client_idx ON switches (client_id, initiated_at DESC);
CREATE INDEX switches_agent_idx ON switches (agent_id, initiated_at DESC);
CREATE INDEX switches_untold_idx ON switches (reported_at) WHERE told_at IS NULL;

-- The projection of workflows for lists and pages. The id is the workflow's.
CREATE TABLE operations (
    id           text PRIMARY KEY,
    kind         text NOT NULL CONSTRAINT operations_kind CHECK (kind IN ('switch', 'replica', 'termination', 'promotion', 'removal')),
    client_id    text NOT NULL CONSTRAINT operations_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id     text NOT NULL CONSTRAINT operations_agent_fk REFERENCES agents ON DELETE CASCADE,
    state        text NOT NULL DEFAULT 'running' CONSTRAINT operations_state CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    phase        text NOT NULL DEFAULT '',
    summary      text NOT NULL DEFAULT '', -- one sentence for people
    cause        text NOT NULL DEFAULT '',
    instance_id  text NOT NULL DEFAULT '', -- the one it is about
    new_instance_id text NOT NULL DEFAULT '',
    replica_id   text NOT NULL DEFAULT '',
    deadline     timestamptz,
    error_code   text,
    error        text,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,
    CONSTRAINT operations_ended_has_time CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX operations_client_idx ON operations (client_id, started_at DESC, id);
CREATE INDEX operations_agent_idx ON operations (agent_id, started_at DESC, id);

CREATE TABLE operation_steps (
    operation_id text NOT NULL CONSTRAINT operation_steps_operation_fk REFERENCES operations ON DELETE CASCADE,
    run_id       text NOT NULL, -- a workflow that was started again counts its steps anew
    seq          int NOT NULL,
    name         text NOT NULL,
    status       text NOT NULL DEFAULT 'done' CONSTRAINT operation_steps_status CHECK (status IN ('started', 'done', 'failed', 'dropped')),
    detail       text NOT NULL DEFAULT '',
    seconds_left numeric(8, 3), -- until the deadline of the notice; null without one
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (operation_id, run_id, seq)
);

CREATE TABLE notifications (
    id         text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    client_id  text CONSTRAINT notifications_client_fk REFERENCES clients ON DELETE CASCADE,
    message    text NOT NULL,
    severity   text NOT NULL DEFAULT 'info' CONSTRAINT notifications_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    is_read    boolean NOT NULL DEFAULT false,
    dedup_key  text CONSTRAINT notifications_dedup_key UNIQUE, -- an activity may say it twice
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notifications_client_idx ON notifications (client_id, created_at DESC);

CREATE TABLE events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id  text CONSTRAINT events_client_fk REFERENCES clients ON DELETE SET NULL,
    agent_id   text, -- no reference: an event outlives what it is about
    type       text NOT NULL,
    severity   text NOT NULL DEFAULT 'info' CONSTRAINT events_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    actor      text NOT NULL DEFAULT 'system',
    message    text NOT NULL,
    metadata   jsonb NOT NULL DEFAULT '{}',
    dedup_key  text CONSTRAINT events_dedup_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_client_idx ON events (client_id, id DESC);
CREATE INDEX events_agent_idx ON events (agent_id, id DESC);
CREATE INDEX events_created_idx ON events (created_at DESC);

CREATE TABLE cleanup_reports (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id         text NOT NULL CONSTRAINT cleanup_reports_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id          text NOT NULL CONSTRAINT cleanup_reports_agent_fk REFERENCES agents ON DELETE CASCADE,
    deleted_snapshots int NOT NULL DEFAULT 0,
    deleted_amis      int NOT NULL DEFAULT 0,
    failed            int NOT NULL DEFAULT 0,
    details           jsonb NOT NULL,
    executed_at       timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- What the orphan sweep saw once and must see again before it acts.
CREATE TABLE orphan_sightings (
    instance_id   text PRIMARY KEY,
    client_id     text NOT NULL CONSTRAINT orphan_sightings_client_fk REFERENCES clients ON DELETE CASCADE,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    sightings     int NOT NULL DEFAULT 1,
    reason        text NOT NULL,
    terminated_at timestamptz
);

CREATE TABLE job_runs (
    job        text NOT NULL,
    period     timestamptz NOT NULL, -- the start of what the run is about
    state      text NOT NULL DEFAULT 'running' CONSTRAINT job_runs_state CHECK (state IN ('running', 'succeeded', 'failed')),
    counts     jsonb NOT NULL DEFAULT '{}',
    error      text,
    attempts   int NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    PRIMARY KEY (job, period)
);
CREATE INDEX job_runs_started_idx ON job_runs (started_at DESC);

-- +goose Down
DROP TABLE job_runs, orphan_sightings, cleanup_reports, events, notifications, operation_steps, operations, switches, interruptions,
    role_changes, notices, launch_templates, launches, replicas, commands, pool_health, pools, instances, agents, clients;
