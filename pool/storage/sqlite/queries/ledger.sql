-- name: begin_execution
-- Known already: nothing happens, and the row that is kept stays as it is. Otherwise the seat notes
-- the request and the session; one that was used earlier does not replace the last.
UPDATE seat SET
    last_request_at = max(coalesce(last_request_at, :created_at), :created_at),
    last_session_id = CASE
        WHEN last_session_at > :created_at THEN last_session_id ELSE :session_id
    END,
    last_session_at = max(coalesce(last_session_at, :created_at), :created_at)
WHERE NOT EXISTS (SELECT 1 FROM executions WHERE id = :id);
INSERT INTO requests (id, request)
SELECT :id, :request WHERE NOT EXISTS (SELECT 1 FROM executions WHERE id = :id);
INSERT INTO executions (id, status, session_id, created_at, document, tenant, model)
VALUES (:id, :status, :session_id, :created_at, :document, :tenant, :model)
ON CONFLICT (id) DO NOTHING;

-- name: update_execution
-- Progress of an execution that has not ended, and whose request is kept beside it.
UPDATE executions
SET status = :status, session_id = :session_id, created_at = :created_at, document = :document
WHERE id = :id AND ended_at IS NULL AND EXISTS (SELECT 1 FROM requests WHERE id = :id);

-- name: move_request
-- Of an execution that began before requests had a table: its document is about to lose it.
INSERT INTO requests (id, request)
SELECT id, :request FROM executions WHERE id = :id AND ended_at IS NULL
ON CONFLICT (id) DO NOTHING;

-- name: settle_execution
-- The end of a run whose execution has not ended, and whose request is kept beside it; counted,
-- where it ends with it.
UPDATE seat SET executions_ended = executions_ended + :counted
WHERE EXISTS (
    SELECT 1 FROM executions JOIN requests USING (id) WHERE id = :id AND ended_at IS NULL
);
UPDATE executions
SET status = :status, session_id = :session_id, created_at = :created_at, ended_at = :ended_at,
    document = :document, ran_as = :ran_as
WHERE id = :id AND ended_at IS NULL AND EXISTS (SELECT 1 FROM requests WHERE id = :id);

-- name: execution
SELECT document, request FROM executions LEFT JOIN requests USING (id) WHERE id = :id;

-- name: open_executions
-- Oldest first: the order in which they are taken up again.
SELECT document, request FROM executions LEFT JOIN requests USING (id)
WHERE status IN ('queued', 'running', 'waiting_for_caller', 'moving')
ORDER BY created_at, id;

-- name: note_tool_call
INSERT INTO tool_calls (id, execution_id) VALUES (:id, :execution_id) ON CONFLICT DO NOTHING;

-- name: execution_of_call
-- The newest of those that made a call of an id.
SELECT execution_id FROM tool_calls JOIN executions ON executions.id = execution_id
WHERE tool_calls.id = :id AND (:tenant IS NULL OR tenant = :tenant)
ORDER BY created_at DESC LIMIT 1;

-- name: uncertain_executions
SELECT count(*) FROM executions WHERE status = 'uncertain';

-- name: executions
-- A page, newest first, below (:at, :id). What went on elsewhere is listed there.
SELECT created_at, id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE (created_at, id) < (:at, :id)
    AND (:with_moved OR status <> 'moved')
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_status
SELECT created_at, id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE status = :status AND (created_at, id) < (:at, :id)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_statuses
-- Two that callers are shown as one. Both are of open executions, which are few: they are sorted.
SELECT created_at, id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE status IN (:status, :also) AND (created_at, id) < (:at, :id)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_session
-- A session has few executions: all else is looked at in each. A pattern of models is met by the
-- one that was asked for, or the one that answered.
SELECT created_at, id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE session_id = :session_id AND (created_at, id) < (:at, :id)
    AND (:with_moved OR status <> 'moved')
    AND (:status IS NULL OR status IN (:status, :also))
    AND (:tenant IS NULL OR tenant = :tenant)
    AND (:models IS NULL OR EXISTS (
        SELECT 1 FROM json_each(:models) WHERE model GLOB value OR ran_as GLOB value
    ))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_tenant
-- Of one tenant: the index leads to its rows alone, newest first.
SELECT created_at, id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE tenant = :tenant AND (created_at, id) < (:at, :id)
    AND (:with_moved OR status <> 'moved')
    AND (:status IS NULL OR status IN (:status, :also))
    AND (:models IS NULL OR EXISTS (
        SELECT 1 FROM json_each(:models) WHERE model GLOB value OR ran_as GLOB value
    ))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_of_models
-- Of everybody, for whoever sees some models only.
SELECT created_at, id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE (created_at, id) < (:at, :id)
    AND (:with_moved OR status <> 'moved')
    AND (:status IS NULL OR status IN (:status, :also))
    AND (:models IS NULL OR EXISTS (
        SELECT 1 FROM json_each(:models) WHERE model GLOB value OR ran_as GLOB value
    ))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: note_session
-- The session used last; one that was used earlier, but settles later, does not replace it.
UPDATE seat SET last_session_id = :session_id, last_session_at = :at
WHERE last_session_at IS NULL OR last_session_at <= :at;

-- name: seat
SELECT standing, executions_ended, last_request_at, last_session_id FROM seat;

-- name: set_standing
UPDATE seat SET standing = :standing;

-- name: add_record
-- Counted once: a known id changes nothing, and then the sums are left alone too.
INSERT INTO blocks (starts_at, records, in_periods)
SELECT :starts_at, 1, 1 WHERE NOT EXISTS (SELECT 1 FROM usage_records WHERE id = :id)
ON CONFLICT (starts_at) DO UPDATE SET records = records + 1, in_periods = in_periods + 1;
INSERT INTO block_models (
    starts_at, model, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
)
SELECT :starts_at, value ->> 'model', value ->> 'input_tokens', value ->> 'output_tokens',
    value ->> 'cache_creation_input_tokens', value ->> 'cache_read_input_tokens',
    value ->> 'cost_nano_usd'
FROM json_each(:models) WHERE NOT EXISTS (SELECT 1 FROM usage_records WHERE id = :id)
ON CONFLICT (starts_at, model) DO UPDATE SET
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_creation_input_tokens = cache_creation_input_tokens + excluded.cache_creation_input_tokens,
    cache_read_input_tokens = cache_read_input_tokens + excluded.cache_read_input_tokens,
    cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd;
INSERT INTO period_totals (
    period, starts_at, kind, tenant, records, counted, input_tokens, output_tokens,
    cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
SELECT period, at, value ->> 'kind', :tenant, 1, value ->> 'counted', value ->> 'input_tokens',
    value ->> 'output_tokens', value ->> 'cache_creation_input_tokens',
    value ->> 'cache_read_input_tokens', value ->> 'cost_nano_usd'
FROM json_each(:kinds), (
    SELECT 'hour' AS period, :hour AS at
    UNION ALL SELECT 'block', :starts_at UNION ALL SELECT 'day', :day
)
WHERE NOT EXISTS (SELECT 1 FROM usage_records WHERE id = :id)
ON CONFLICT (period, starts_at, kind) DO UPDATE SET
    records = records + excluded.records,
    counted = counted + excluded.counted,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_creation_input_tokens = cache_creation_input_tokens + excluded.cache_creation_input_tokens,
    cache_read_input_tokens = cache_read_input_tokens + excluded.cache_read_input_tokens,
    cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd;
INSERT INTO usage_records (id, timestamp, cost_nano_usd, source, document, tenant)
VALUES (:id, :timestamp, :cost_nano_usd, :source, :document, :tenant)
ON CONFLICT (id) DO NOTHING;

-- name: record
SELECT document FROM usage_records WHERE id = :id;

-- name: annotate_record
-- What it added stays added: another record takes it away.
UPDATE usage_records SET document = :document WHERE id = :id;

-- name: costs_since
-- Read from the index alone: 100k records in well under a tenth of a second.
SELECT timestamp, cost_nano_usd FROM usage_records WHERE timestamp >= :since ORDER BY timestamp, id;

-- name: recent_costs
-- What the last runs cost, of those that cost something; newest first.
SELECT cost_nano_usd FROM usage_records
WHERE source = 'cli' AND cost_nano_usd > 0
ORDER BY timestamp DESC, id DESC LIMIT 50;

-- name: usage
-- A page, newest first, below (:at, :id).
SELECT timestamp, id, document FROM usage_records
WHERE timestamp >= :since AND (timestamp, id) < (:at, :id)
    AND (:source IS NULL OR source = :source)
ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: usage_by_tenant
-- The same of one tenant: the index leads to its rows alone.
SELECT timestamp, id, document FROM usage_records
WHERE tenant = :tenant AND timestamp >= :since AND (timestamp, id) < (:at, :id)
    AND (:source IS NULL OR source = :source)
ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: count_records
SELECT count(*) FROM usage_records WHERE timestamp >= :since AND timestamp < :until;

-- name: blocks
SELECT starts_at, records, in_periods FROM blocks WHERE starts_at < :at ORDER BY starts_at DESC LIMIT :limit;

-- name: block_models
SELECT starts_at, model, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
FROM block_models WHERE starts_at BETWEEN :first AND :last ORDER BY starts_at, model;

-- name: blocks_without_periods
-- Those of which the totals of periods do not hold every record, newest first.
SELECT starts_at, records FROM blocks
WHERE in_periods <> records
    AND starts_at >= :since AND starts_at < :until
ORDER BY starts_at DESC;

-- name: period_totals
SELECT starts_at, kind, records, counted, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
FROM period_totals WHERE period = :period AND starts_at >= :since AND starts_at < :until
LIMIT :limit;

-- name: period_totals_by_tenant
-- The same of one tenant: the index leads to its rows alone.
SELECT starts_at, kind, records, counted, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
FROM period_totals
WHERE tenant = :tenant AND period = :period AND starts_at >= :since AND starts_at < :until
LIMIT :limit;

-- name: records_of_hour
SELECT coalesce(sum(counted), 0) FROM period_totals WHERE period = 'hour' AND starts_at = :since;

-- name: first_block
SELECT min(starts_at) FROM blocks;

-- name: lifetime_records
SELECT coalesce(sum(records), 0) FROM blocks;

-- name: lifetime_models
SELECT model, sum(input_tokens), sum(output_tokens), sum(cache_creation_input_tokens),
    sum(cache_read_input_tokens), sum(cost_nano_usd)
FROM block_models GROUP BY model ORDER BY model;

-- name: add_limit_event
INSERT INTO limit_events (observed_at, document) VALUES (:observed_at, :document);

-- name: limits
-- A page, newest first, below (:at, :seq).
SELECT observed_at, seq, document FROM limit_events
WHERE (observed_at, seq) < (:at, :seq)
ORDER BY observed_at DESC, seq DESC LIMIT :limit;

-- name: windows
SELECT name, document FROM windows;

-- name: set_window
INSERT INTO windows (name, document) VALUES (:name, :document)
ON CONFLICT (name) DO UPDATE SET document = excluded.document;

-- name: set_session
-- A run that reported no running total leaves the last one that was reported.
INSERT INTO sessions (id, total_nano_usd, last_used_at) VALUES (:id, :total_nano_usd, :last_used_at)
ON CONFLICT (id) DO UPDATE SET
    total_nano_usd = coalesce(excluded.total_nano_usd, total_nano_usd),
    last_used_at = max(excluded.last_used_at, last_used_at);

-- name: session
SELECT total_nano_usd, last_used_at FROM sessions WHERE id = :id;

-- name: first_content
SELECT min(ended_at) FROM executions WHERE has_content AND ended_at IS NOT NULL;

-- name: with_content
SELECT id FROM executions WHERE has_content AND ended_at < :before ORDER BY ended_at LIMIT :limit;

-- name: remove_content
UPDATE executions SET document = :document, has_content = 0 WHERE id = :id;
INSERT INTO requests (id, request) VALUES (:id, :request)
ON CONFLICT (id) DO UPDATE SET request = excluded.request;

-- name: correct_execution
-- More was found of its cost. Its request is kept beside it from now on, where it was not yet.
UPDATE executions SET document = :document WHERE id = :id;
INSERT INTO requests (id, request) VALUES (:id, :request) ON CONFLICT (id) DO NOTHING;

-- name: remove_execution
DELETE FROM executions WHERE id = :id;

-- name: expire_records
DELETE FROM usage_records WHERE id IN (
    SELECT id FROM usage_records WHERE timestamp < :before ORDER BY timestamp LIMIT :limit
);

-- name: expire_block_periods
-- Before those periods themselves: from here on they do not hold what they held.
UPDATE blocks SET in_periods = 0 WHERE starts_at < :before_day AND in_periods > 0;

-- name: expire_periods
-- Of whole days, so that none is left that lacks a part.
DELETE FROM period_totals WHERE (period, starts_at, kind) IN (
    SELECT period, starts_at, kind FROM period_totals
    WHERE period IN ('hour', 'block', 'day') AND starts_at < :before_day LIMIT :limit
);

-- name: expire_executions
DELETE FROM executions WHERE id IN (
    SELECT id FROM executions WHERE ended_at < :before ORDER BY ended_at LIMIT :limit
);

-- name: expire_limit_events
DELETE FROM limit_events WHERE seq IN (
    SELECT seq FROM limit_events WHERE observed_at < :before ORDER BY observed_at LIMIT :limit
);

-- name: expire_sessions
-- A session that an execution still waits for or runs in is not idle.
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions
    WHERE last_used_at < :before
        AND id NOT IN (
            SELECT session_id FROM executions WHERE status IN ('queued', 'running', 'moving')
        )
    ORDER BY last_used_at LIMIT :limit
);

-- name: export_seat
SELECT standing, executions_ended, last_request_at, last_session_id, last_session_at FROM seat;

-- name: export_executions
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT id, document, request FROM executions LEFT JOIN requests USING (id)
WHERE id > :after ORDER BY id LIMIT :limit;

-- name: export_records
SELECT id, document FROM usage_records WHERE id > :after ORDER BY id LIMIT :limit;

-- name: export_blocks
SELECT starts_at, records, in_periods FROM blocks WHERE starts_at > :after ORDER BY starts_at LIMIT :limit;

-- name: export_periods
SELECT period, starts_at, kind, records, counted, input_tokens, output_tokens,
    cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
FROM period_totals WHERE (period, starts_at, kind) > (:period, :starts_at, :kind)
ORDER BY period, starts_at, kind LIMIT :limit;

-- name: export_limit_events
SELECT seq, document FROM limit_events WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: export_sessions
SELECT id, total_nano_usd, last_used_at FROM sessions
WHERE id > :after ORDER BY id LIMIT :limit;

-- name: load_seat
UPDATE seat SET
    standing = :standing, executions_ended = :executions_ended,
    last_request_at = :last_request_at, last_session_id = :last_session_id,
    last_session_at = :last_session_at;

-- name: load_execution
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO executions (
    id, status, session_id, created_at, ended_at, document, has_content, tenant, model, ran_as
)
VALUES (
    :id, :status, :session_id, :created_at, :ended_at, :document, :has_content, :tenant, :model,
    :ran_as
);
INSERT INTO requests (id, request) VALUES (:id, :request);

-- name: load_record
-- The sums are loaded too, so the record adds to none.
INSERT INTO usage_records (id, timestamp, cost_nano_usd, source, document, tenant)
VALUES (:id, :timestamp, :cost_nano_usd, :source, :document, :tenant);

-- name: load_block
INSERT INTO blocks (starts_at, records, in_periods) VALUES (:starts_at, :records, :in_periods);

-- name: load_block_model
INSERT INTO block_models (
    starts_at, model, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
)
VALUES (
    :starts_at, :model, :input_tokens, :output_tokens, :cache_creation_input_tokens,
    :cache_read_input_tokens, :cost_nano_usd
);

-- name: load_period
INSERT INTO period_totals (
    period, starts_at, kind, tenant, records, counted, input_tokens, output_tokens,
    cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
VALUES (
    :period, :starts_at, :kind, :tenant, :records, :counted, :input_tokens, :output_tokens,
    :cache_creation_input_tokens, :cache_read_input_tokens, :cost_nano_usd
);

-- name: load_session
INSERT INTO sessions (id, total_nano_usd, last_used_at)
VALUES (:id, :total_nano_usd, :last_used_at);
