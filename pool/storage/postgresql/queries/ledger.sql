-- name: begin_execution
-- Known already: nothing happens, and the row that is kept stays as it is. Otherwise the seat notes
-- the request and the session; one that was used earlier does not replace the last.
WITH begun AS (
    INSERT INTO executions (
        subscription_id, id, status, session_id, created_at, document, request, tenant, model
    )
    VALUES (
        :subscription_id, :id, :status, :session_id, :created_at, :document, :request, :tenant,
        :model
    )
    ON CONFLICT DO NOTHING
    RETURNING session_id, created_at
)
UPDATE seats SET
    last_request_at = greatest(last_request_at, begun.created_at),
    last_session_id = CASE
        WHEN last_session_at > begun.created_at THEN last_session_id ELSE begun.session_id
    END,
    last_session_at = greatest(last_session_at, begun.created_at)
FROM begun WHERE subscription_id = :subscription_id;

-- name: update_execution
-- Progress of an execution that has not ended, and whose request is kept beside its document.
UPDATE executions
SET status = :status, session_id = :session_id, created_at = :created_at, document = :document
WHERE subscription_id = :subscription_id AND id = :id AND ended_at IS NULL
    AND request IS NOT NULL;

-- name: move_request
-- Of an execution that began before requests had a column: its document is about to lose it.
UPDATE executions SET request = :request
WHERE subscription_id = :subscription_id AND id = :id AND ended_at IS NULL AND request IS NULL;

-- name: settle_execution
-- The end of a run whose execution has not ended, and whose request is kept beside its document;
-- counted, where it ends with it.
WITH ended AS (
    UPDATE executions
    SET status = :status, session_id = :session_id, created_at = :created_at,
        ended_at = :ended_at, document = :document, ran_as = :ran_as
    WHERE subscription_id = :subscription_id AND id = :id AND ended_at IS NULL
        AND request IS NOT NULL
    RETURNING id
)
UPDATE seats SET executions_ended = executions_ended + :counted::bigint
FROM ended WHERE subscription_id = :subscription_id;

-- name: execution
SELECT document, request FROM executions WHERE subscription_id = :subscription_id AND id = :id;

-- name: open_executions
-- Oldest first: the order in which they are taken up again.
SELECT document, request FROM executions
WHERE subscription_id = :subscription_id AND status IN ('queued', 'running', 'waiting_for_caller', 'moving')
ORDER BY created_at, id;

-- name: note_tool_call
INSERT INTO tool_calls (subscription_id, id, execution_id)
VALUES (:subscription_id, :id, :execution_id) ON CONFLICT DO NOTHING;

-- name: execution_of_call
-- The newest of those that made a call of an id.
SELECT execution_id FROM tool_calls
JOIN executions USING (subscription_id)
WHERE subscription_id = :subscription_id AND executions.id = execution_id
    AND tool_calls.id = :id AND (:tenant::text IS NULL OR tenant = :tenant)
ORDER BY created_at DESC LIMIT 1;

-- name: uncertain_executions
SELECT count(*) FROM executions
WHERE subscription_id = :subscription_id AND status = 'uncertain';

-- name: executions
-- A page, newest first, below the time and the id. What went on elsewhere is listed there.
SELECT created_at, id, document, request FROM executions
WHERE subscription_id = :subscription_id AND (created_at, id) < (:at, :id)
    AND (:with_moved::boolean OR status <> 'moved')
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_status
SELECT created_at, id, document, request FROM executions
WHERE subscription_id = :subscription_id AND status = :status AND (created_at, id) < (:at, :id)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_statuses
-- Two that callers are shown as one. Both are of open executions, which are few: they are sorted.
SELECT created_at, id, document, request FROM executions
WHERE subscription_id = :subscription_id AND status IN (:status, :also)
    AND (created_at, id) < (:at, :id)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_session
-- A session has few executions: all else is looked at in each. A pattern of models is met by the
-- one that was asked for, or the one that answered.
SELECT created_at, id, document, request FROM executions
WHERE subscription_id = :subscription_id AND session_id = :session_id
    AND (created_at, id) < (:at, :id)
    AND (:with_moved::boolean OR status <> 'moved')
    AND (:status::text IS NULL OR status IN (:status, :also))
    AND (:tenant::text IS NULL OR tenant = :tenant)
    AND (:models::json IS NULL OR EXISTS (
        SELECT 1 FROM json_array_elements_text(:models::json) AS pattern
        CROSS JOIN LATERAL replace(replace(replace(pattern, '_', '\_'), '*', '%'), '?', '_') AS form
        WHERE model LIKE form OR ran_as LIKE form
    ))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_by_tenant
-- Of one tenant: the index leads to its rows alone, newest first.
SELECT created_at, id, document, request FROM executions
WHERE subscription_id = :subscription_id AND tenant = :tenant AND (created_at, id) < (:at, :id)
    AND (:with_moved::boolean OR status <> 'moved')
    AND (:status::text IS NULL OR status IN (:status, :also))
    AND (:models::json IS NULL OR EXISTS (
        SELECT 1 FROM json_array_elements_text(:models::json) AS pattern
        CROSS JOIN LATERAL replace(replace(replace(pattern, '_', '\_'), '*', '%'), '?', '_') AS form
        WHERE model LIKE form OR ran_as LIKE form
    ))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: executions_of_models
-- Of everybody, for whoever sees some models only.
SELECT created_at, id, document, request FROM executions
WHERE subscription_id = :subscription_id AND (created_at, id) < (:at, :id)
    AND (:with_moved::boolean OR status <> 'moved')
    AND (:status::text IS NULL OR status IN (:status, :also))
    AND (:models::json IS NULL OR EXISTS (
        SELECT 1 FROM json_array_elements_text(:models::json) AS pattern
        CROSS JOIN LATERAL replace(replace(replace(pattern, '_', '\_'), '*', '%'), '?', '_') AS form
        WHERE model LIKE form OR ran_as LIKE form
    ))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: seat
SELECT standing, executions_ended, last_request_at, last_session_id FROM seats
WHERE subscription_id = :subscription_id;

-- name: set_standing
UPDATE seats SET standing = :standing WHERE subscription_id = :subscription_id;

-- name: add_record
-- Counted once: a known id changes nothing, and then the sums are left alone too.
WITH added AS (
    INSERT INTO usage_records (
        subscription_id, id, timestamp, cost_nano_usd, source, document, tenant
    )
    VALUES (:subscription_id, :id, :timestamp, :cost_nano_usd, :source, :document, :tenant)
    ON CONFLICT DO NOTHING
    RETURNING subscription_id, tenant
), models AS (
    INSERT INTO block_models (
        subscription_id, starts_at, model, input_tokens, output_tokens,
        cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
    )
    SELECT added.subscription_id, :starts_at, figures.*
    FROM added, json_to_recordset(:models::json) AS figures (
        model text, input_tokens bigint, output_tokens bigint, cache_creation_input_tokens bigint,
        cache_read_input_tokens bigint, cost_nano_usd bigint
    )
    ON CONFLICT (subscription_id, starts_at, model) DO UPDATE SET
        input_tokens = block_models.input_tokens + excluded.input_tokens,
        output_tokens = block_models.output_tokens + excluded.output_tokens,
        cache_creation_input_tokens =
            block_models.cache_creation_input_tokens + excluded.cache_creation_input_tokens,
        cache_read_input_tokens =
            block_models.cache_read_input_tokens + excluded.cache_read_input_tokens,
        cost_nano_usd = block_models.cost_nano_usd + excluded.cost_nano_usd
), periods AS (
    INSERT INTO period_totals (
        subscription_id, tenant, period, starts_at, records, kind, counted, input_tokens,
        output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
    )
    SELECT added.subscription_id, added.tenant, spans.period, spans.starts_at, 1, figures.*
    FROM added, (
        VALUES ('hour', :hour::bigint), ('block', :starts_at::bigint), ('day', :day::bigint)
    ) AS spans (period, starts_at), json_to_recordset(:kinds::json) AS figures (
        kind text, counted bigint, input_tokens bigint, output_tokens bigint,
        cache_creation_input_tokens bigint, cache_read_input_tokens bigint, cost_nano_usd bigint
    )
    ON CONFLICT (subscription_id, period, starts_at, md5(kind)) DO UPDATE SET
        records = period_totals.records + excluded.records,
        counted = period_totals.counted + excluded.counted,
        input_tokens = period_totals.input_tokens + excluded.input_tokens,
        output_tokens = period_totals.output_tokens + excluded.output_tokens,
        cache_creation_input_tokens =
            period_totals.cache_creation_input_tokens + excluded.cache_creation_input_tokens,
        cache_read_input_tokens =
            period_totals.cache_read_input_tokens + excluded.cache_read_input_tokens,
        cost_nano_usd = period_totals.cost_nano_usd + excluded.cost_nano_usd
)
INSERT INTO blocks (subscription_id, starts_at, records, in_periods)
SELECT subscription_id, :starts_at, 1, 1 FROM added
ON CONFLICT (subscription_id, starts_at) DO UPDATE SET
    records = blocks.records + 1, in_periods = blocks.in_periods + 1;

-- name: record
SELECT document FROM usage_records WHERE subscription_id = :subscription_id AND id = :id;

-- name: annotate_record
-- What it added stays added: another record takes it away.
UPDATE usage_records SET document = :document WHERE subscription_id = :subscription_id AND id = :id;

-- name: costs_since
-- Read from the index alone, where the table was vacuumed.
SELECT timestamp, cost_nano_usd FROM usage_records
WHERE subscription_id = :subscription_id AND timestamp >= :since
ORDER BY timestamp, id;

-- name: recent_costs
-- What the last runs cost, of those that cost something; newest first.
SELECT cost_nano_usd FROM usage_records
WHERE subscription_id = :subscription_id AND source = 'cli' AND cost_nano_usd > 0
ORDER BY timestamp DESC, id DESC LIMIT 50;

-- name: usage
-- A page, newest first, below the time and the id.
SELECT timestamp, id, document FROM usage_records
WHERE subscription_id = :subscription_id AND timestamp >= :since
    AND (timestamp, id) < (:at, :id)
    AND (:source::text IS NULL OR source = :source)
ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: usage_by_tenant
-- The same of one tenant: the index leads to its rows alone.
SELECT timestamp, id, document FROM usage_records
WHERE subscription_id = :subscription_id AND tenant = :tenant AND timestamp >= :since
    AND (timestamp, id) < (:at, :id)
    AND (:source::text IS NULL OR source = :source)
ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: count_records
SELECT count(*) FROM usage_records
WHERE subscription_id = :subscription_id AND timestamp >= :since AND timestamp < :until;

-- name: blocks
SELECT starts_at, records, in_periods FROM blocks
WHERE subscription_id = :subscription_id AND starts_at < :at
ORDER BY starts_at DESC LIMIT :limit;

-- name: block_models
SELECT starts_at, model, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
FROM block_models
WHERE subscription_id = :subscription_id AND starts_at BETWEEN :first AND :last
ORDER BY starts_at, model;

-- name: blocks_without_periods
-- Those of which the totals of periods do not hold every record, newest first.
SELECT starts_at, records FROM blocks
WHERE subscription_id = :subscription_id AND in_periods <> records
    AND starts_at >= :since AND starts_at < :until
ORDER BY starts_at DESC;

-- name: period_totals
SELECT starts_at, kind, records, counted, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
FROM period_totals
WHERE subscription_id = :subscription_id AND period = :period
    AND starts_at >= :since AND starts_at < :until
LIMIT :limit;

-- name: period_totals_by_tenant
-- The same of one tenant: the index leads to its rows alone.
SELECT starts_at, kind, records, counted, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
FROM period_totals
WHERE subscription_id = :subscription_id AND tenant = :tenant AND period = :period
    AND starts_at >= :since AND starts_at < :until
LIMIT :limit;

-- name: records_of_hour
SELECT coalesce(sum(counted), 0)::bigint FROM period_totals
WHERE subscription_id = :subscription_id AND period = 'hour' AND starts_at = :since;

-- name: first_block
SELECT min(starts_at) FROM blocks WHERE subscription_id = :subscription_id;

-- name: lifetime_records
SELECT coalesce(sum(records), 0)::bigint FROM blocks WHERE subscription_id = :subscription_id;

-- name: lifetime_models
SELECT model, sum(input_tokens)::bigint, sum(output_tokens)::bigint,
    sum(cache_creation_input_tokens)::bigint, sum(cache_read_input_tokens)::bigint,
    sum(cost_nano_usd)::bigint
FROM block_models WHERE subscription_id = :subscription_id
GROUP BY model ORDER BY model;

-- name: add_limit_event
INSERT INTO limit_events (subscription_id, observed_at, document)
VALUES (:subscription_id, :observed_at, :document);

-- name: limits
-- A page, newest first, below the time and the seq.
SELECT observed_at, seq, document FROM limit_events
WHERE subscription_id = :subscription_id AND (observed_at, seq) < (:at, :seq)
ORDER BY observed_at DESC, seq DESC LIMIT :limit;

-- name: windows
SELECT name, document FROM windows WHERE subscription_id = :subscription_id;

-- name: set_window
INSERT INTO windows (subscription_id, name, document) VALUES (:subscription_id, :name, :document)
ON CONFLICT (subscription_id, name) DO UPDATE SET document = excluded.document;

-- name: set_session
-- A run that reported no running total leaves the last one that was reported.
INSERT INTO sessions (subscription_id, id, total_nano_usd, last_used_at)
VALUES (:subscription_id, :id, :total_nano_usd, :last_used_at)
ON CONFLICT (subscription_id, id) DO UPDATE SET
    total_nano_usd = coalesce(excluded.total_nano_usd, sessions.total_nano_usd),
    last_used_at = greatest(excluded.last_used_at, sessions.last_used_at);

-- name: note_session
-- The session used last; one that was used earlier, but settles later, does not replace it.
UPDATE seats SET last_session_id = :session_id, last_session_at = :at
WHERE subscription_id = :subscription_id AND (last_session_at IS NULL OR last_session_at <= :at);

-- name: session
SELECT total_nano_usd, last_used_at FROM sessions
WHERE subscription_id = :subscription_id AND id = :id;

-- name: first_content
SELECT min(ended_at) FROM executions
WHERE subscription_id = :subscription_id AND has_content AND ended_at IS NOT NULL;

-- name: with_content
SELECT id FROM executions
WHERE subscription_id = :subscription_id AND has_content AND ended_at < :before
ORDER BY ended_at LIMIT :limit;

-- name: remove_content
UPDATE executions SET document = :document, request = :request, has_content = false
WHERE subscription_id = :subscription_id AND id = :id;

-- name: correct_execution
-- More was found of its cost. Its request is kept beside it from now on, where it was not yet.
UPDATE executions SET document = :document, request = :request
WHERE subscription_id = :subscription_id AND id = :id;

-- name: remove_execution
DELETE FROM executions WHERE subscription_id = :subscription_id AND id = :id;

-- name: expire_records
DELETE FROM usage_records WHERE subscription_id = :subscription_id AND id IN (
    SELECT id FROM usage_records
    WHERE subscription_id = :subscription_id AND timestamp < :before
    ORDER BY timestamp LIMIT :limit
);

-- name: expire_block_periods
-- Before those periods themselves: from here on they do not hold what they held.
UPDATE blocks SET in_periods = 0
WHERE subscription_id = :subscription_id AND starts_at < :before_day AND in_periods > 0;

-- name: expire_periods
-- Of whole days, so that none is left that lacks a part.
DELETE FROM period_totals
WHERE subscription_id = :subscription_id AND (period, starts_at, md5(kind)) IN (
    SELECT period, starts_at, md5(kind) FROM period_totals
    WHERE subscription_id = :subscription_id AND period IN ('hour', 'block', 'day')
        AND starts_at < :before_day
    LIMIT :limit
);

-- name: expire_executions
DELETE FROM executions WHERE subscription_id = :subscription_id AND id IN (
    SELECT id FROM executions
    WHERE subscription_id = :subscription_id AND ended_at < :before
    ORDER BY ended_at LIMIT :limit
);

-- name: expire_limit_events
DELETE FROM limit_events WHERE seq IN (
    SELECT seq FROM limit_events
    WHERE subscription_id = :subscription_id AND observed_at < :before
    ORDER BY observed_at LIMIT :limit
);

-- name: expire_sessions
-- A session that an execution still waits for or runs in is not idle.
DELETE FROM sessions WHERE subscription_id = :subscription_id AND id IN (
    SELECT id FROM sessions
    WHERE subscription_id = :subscription_id AND last_used_at < :before
        AND NOT EXISTS (
            SELECT FROM executions
            WHERE executions.subscription_id = sessions.subscription_id
                AND session_id = sessions.id
                AND status IN ('queued', 'running', 'moving')
        )
    ORDER BY last_used_at LIMIT :limit
);

-- name: export_seat
SELECT standing, executions_ended, last_request_at, last_session_id, last_session_at FROM seats
WHERE subscription_id = :subscription_id;

-- name: export_executions
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT id, document, request FROM executions
WHERE subscription_id = :subscription_id AND id > :after ORDER BY id LIMIT :limit;

-- name: export_records
SELECT id, document FROM usage_records
WHERE subscription_id = :subscription_id AND id > :after ORDER BY id LIMIT :limit;

-- name: export_blocks
SELECT starts_at, records, in_periods FROM blocks
WHERE subscription_id = :subscription_id AND starts_at > :after ORDER BY starts_at LIMIT :limit;

-- name: export_periods
SELECT period, starts_at, kind, records, counted, input_tokens, output_tokens,
    cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
FROM period_totals
WHERE subscription_id = :subscription_id
    AND (period, starts_at, kind) > (:period, :starts_at, :kind)
ORDER BY period, starts_at, kind LIMIT :limit;

-- name: export_limit_events
SELECT seq, document FROM limit_events
WHERE subscription_id = :subscription_id AND seq > :after ORDER BY seq LIMIT :limit;

-- name: export_sessions
SELECT id, total_nano_usd, last_used_at FROM sessions
WHERE subscription_id = :subscription_id AND id > :after ORDER BY id LIMIT :limit;

-- name: load_seat
UPDATE seats SET
    standing = :standing, executions_ended = :executions_ended,
    last_request_at = :last_request_at, last_session_id = :last_session_id,
    last_session_at = :last_session_at
WHERE subscription_id = :subscription_id;

-- name: load_execution
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO executions (
    subscription_id, id, status, session_id, created_at, ended_at, document, request, has_content,
    tenant, model, ran_as
)
VALUES (
    :subscription_id, :id, :status, :session_id, :created_at, :ended_at, :document, :request,
    :has_content, :tenant, :model, :ran_as
);

-- name: load_record
-- The sums are loaded too, so the record adds to none.
INSERT INTO usage_records (
    subscription_id, id, timestamp, cost_nano_usd, source, document, tenant
)
VALUES (:subscription_id, :id, :timestamp, :cost_nano_usd, :source, :document, :tenant);

-- name: load_block
INSERT INTO blocks (subscription_id, starts_at, records, in_periods)
VALUES (:subscription_id, :starts_at, :records, :in_periods);

-- name: load_block_model
INSERT INTO block_models (
    subscription_id, starts_at, model, input_tokens, output_tokens, cache_creation_input_tokens,
    cache_read_input_tokens, cost_nano_usd
)
VALUES (
    :subscription_id, :starts_at, :model, :input_tokens, :output_tokens,
    :cache_creation_input_tokens, :cache_read_input_tokens, :cost_nano_usd
);

-- name: load_period
INSERT INTO period_totals (
    subscription_id, period, starts_at, kind, tenant, records, counted, input_tokens,
    output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
VALUES (
    :subscription_id, :period, :starts_at, :kind, :tenant, :records, :counted, :input_tokens,
    :output_tokens, :cache_creation_input_tokens, :cache_read_input_tokens, :cost_nano_usd
);

-- name: load_session
INSERT INTO sessions (subscription_id, id, total_nano_usd, last_used_at)
VALUES (:subscription_id, :id, :total_nano_usd, :last_used_at);
