-- Sums of the records of each hour, block and day that are alike: in source, key, tenant, tags and
-- model, which `kind` holds as JSON. Of a record of several models each total has its part, and one
-- of them counts it. They go when their records do.
CREATE TABLE period_totals (
    subscription_id text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    starts_at bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    tenant text COLLATE "C",
    records bigint NOT NULL,
    counted bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_creation_input_tokens bigint NOT NULL,
    cache_read_input_tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL
) WITH (fillfactor = 70);
-- By a digest of the kind: a row of an index holds 2,704 bytes, and tags alone may take more.
CREATE UNIQUE INDEX period_totals_of_kind
ON period_totals (subscription_id, period, starts_at, md5(kind));
CREATE INDEX period_totals_by_tenant ON period_totals (subscription_id, tenant, period, starts_at)
WHERE tenant IS NOT NULL;

-- Those of the records that there are: of hours from them, of blocks and days from the hours. A record
-- of which something cannot be read here is in none: earlier releases kept halves of surrogate pairs
-- and NUL, which JSON may spell and no text here may hold.
CREATE FUNCTION pg_temp.said(document text) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
    it json := NULL;
BEGIN
    it := document::json;
    PERFORM it ->> 'caller', it ->> 'tags';
    PERFORM (value ->> 'input_tokens')::bigint, (value ->> 'output_tokens')::bigint,
        (value ->> 'cache_creation_input_tokens')::bigint,
        (value ->> 'cache_read_input_tokens')::bigint, (value ->> 'cost_nano_usd')::bigint
    FROM json_each(it -> 'usage' -> 'models');
    RETURN it;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
WITH kept AS MATERIALIZED (
    SELECT subscription_id, id, timestamp, source, tenant, pg_temp.said(document) AS document
    FROM usage_records
), parts AS (
    SELECT subscription_id, tenant,
        timestamp - (timestamp % 3600000000 + 3600000000) % 3600000000 AS starts_at,
        format(
            '{"source":%s,"caller":%s,"tenant":%s,"model":%s,"tags":%s}',
            to_json(source), coalesce(to_json(document ->> 'caller')::text, 'null'),
            coalesce(to_json(tenant)::text, 'null'), coalesce(to_json(model.key)::text, 'null'),
            coalesce((document -> 'tags')::text, '{}')
        ) AS kind,
        row_number() OVER (
            PARTITION BY subscription_id, id ORDER BY model.key COLLATE "C"
        ) = 1 AS is_first,
        model.value AS usage
    FROM kept LEFT JOIN LATERAL json_each(document -> 'usage' -> 'models') AS model ON true
    WHERE document IS NOT NULL
)
INSERT INTO period_totals (
    subscription_id, period, starts_at, kind, tenant, records, counted, input_tokens,
    output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
SELECT subscription_id, 'hour', starts_at, kind, tenant, count(*),
    count(*) FILTER (WHERE is_first),
    coalesce(sum((usage ->> 'input_tokens')::bigint), 0),
    coalesce(sum((usage ->> 'output_tokens')::bigint), 0),
    coalesce(sum((usage ->> 'cache_creation_input_tokens')::bigint), 0),
    coalesce(sum((usage ->> 'cache_read_input_tokens')::bigint), 0),
    coalesce(sum((usage ->> 'cost_nano_usd')::bigint), 0)
FROM parts GROUP BY subscription_id, starts_at, kind, tenant;
WITH days AS (
    SELECT *, starts_at - (starts_at % 86400000000 + 86400000000) % 86400000000 AS day
    FROM period_totals WHERE period = 'hour'
), longer AS (
    SELECT *, 'day' AS longer, day AS begins_at FROM days
    UNION ALL
    SELECT *, 'block', day + (starts_at - day) / 18000000000 * 18000000000 FROM days
)
INSERT INTO period_totals (
    subscription_id, period, starts_at, kind, tenant, records, counted, input_tokens,
    output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
SELECT subscription_id, longer, begins_at, kind, tenant, sum(records), sum(counted),
    sum(input_tokens), sum(output_tokens), sum(cache_creation_input_tokens),
    sum(cache_read_input_tokens), sum(cost_nano_usd)
FROM longer GROUP BY subscription_id, longer, begins_at, kind, tenant;
DROP FUNCTION pg_temp.said(text);

-- How many of a block's records they hold. Where that is not all of them, they say nothing of it, and
-- its records are read while it has them all: an owner of an earlier release, which still writes while
-- the next one migrates, and after it, counts none. This comes last, as it locks the table.
ALTER TABLE blocks ADD COLUMN in_periods bigint NOT NULL DEFAULT 0;
CREATE INDEX blocks_without_periods ON blocks (subscription_id, starts_at)
WHERE in_periods <> records;
UPDATE blocks SET in_periods = coalesce((
    SELECT sum(counted) FROM period_totals
    WHERE period_totals.subscription_id = blocks.subscription_id AND period = 'block'
        AND period_totals.starts_at = blocks.starts_at
), 0);
