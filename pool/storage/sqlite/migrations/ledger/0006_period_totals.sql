-- Sums of the records of each hour, block and day that are alike: in source, key, tenant, tags and
-- model, which `kind` holds as JSON. Of a record of several models each total has its part, and one
-- of them counts it. They go when their records do.
CREATE TABLE period_totals (
    period TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT,
    records INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_creation_input_tokens INTEGER NOT NULL,
    cache_read_input_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (period, starts_at, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX period_totals_by_tenant ON period_totals (tenant, period, starts_at)
WHERE tenant IS NOT NULL;

-- How many of a block's records they hold: where that is not all of them, they say nothing of it.
ALTER TABLE blocks ADD COLUMN in_periods INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blocks_without_periods ON blocks (starts_at) WHERE in_periods <> records;

-- Those of the records that there are: of hours from them, of blocks and days from the hours. A record
-- with half of a surrogate pair in a name, which earlier releases kept and which is no text, is in
-- none. GLOB takes it for U+FFFD.
WITH valid AS MATERIALIZED (
    SELECT id, timestamp, source, tenant,
        CASE WHEN json_valid(document) THEN document ELSE '{}' END AS document
    FROM usage_records WHERE json_valid(document)
), kept AS (
    SELECT * FROM valid
    WHERE coalesce(document ->> '$.caller', '') NOT GLOB '*' || char(0xfffd) || '*'
        AND NOT EXISTS (
            SELECT 1 FROM json_each(document, '$.usage.models')
            WHERE type <> 'object' OR key GLOB '*' || char(0xfffd) || '*'
        )
), parts AS (
    SELECT timestamp - (timestamp % 3600000000 + 3600000000) % 3600000000 AS starts_at, tenant,
        json_object(
            'source', source, 'caller', document ->> '$.caller', 'tenant', tenant,
            'model', model.key, 'tags', json(coalesce(document -> '$.tags', '{}'))
        ) AS kind,
        row_number() OVER (PARTITION BY kept.id ORDER BY model.key) = 1 AS is_first,
        model.value AS usage
    FROM kept LEFT JOIN json_each(document, '$.usage.models') AS model ON true
)
INSERT INTO period_totals (
    period, starts_at, kind, tenant, records, counted, input_tokens, output_tokens,
    cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
SELECT 'hour', starts_at, kind, tenant, count(*), sum(is_first),
    coalesce(sum(usage ->> 'input_tokens'), 0), coalesce(sum(usage ->> 'output_tokens'), 0),
    coalesce(sum(usage ->> 'cache_creation_input_tokens'), 0),
    coalesce(sum(usage ->> 'cache_read_input_tokens'), 0),
    coalesce(sum(usage ->> 'cost_nano_usd'), 0)
FROM parts GROUP BY starts_at, kind, tenant;
WITH days AS (
    SELECT *, starts_at - (starts_at % 86400000000 + 86400000000) % 86400000000 AS day
    FROM period_totals WHERE period = 'hour'
), longer AS (
    SELECT *, 'day' AS longer, day AS begins_at FROM days
    UNION ALL
    SELECT *, 'block', day + (starts_at - day) / 18000000000 * 18000000000 FROM days
)
INSERT INTO period_totals (
    period, starts_at, kind, tenant, records, counted, input_tokens, output_tokens,
    cache_creation_input_tokens, cache_read_input_tokens, cost_nano_usd
)
SELECT longer, begins_at, kind, tenant, sum(records), sum(counted), sum(input_tokens),
    sum(output_tokens), sum(cache_creation_input_tokens), sum(cache_read_input_tokens),
    sum(cost_nano_usd)
FROM longer GROUP BY longer, begins_at, kind, tenant;
UPDATE blocks SET in_periods = coalesce((
    SELECT sum(counted) FROM period_totals
    WHERE period = 'block' AND period_totals.starts_at = blocks.starts_at
), 0);
