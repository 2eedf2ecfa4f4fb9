import { useMemo } from "preact/hooks";
import type uPlot from "uplot";

import type { Pool, UsageBreakdown } from "../api/types.ts";
import { burndown, type Point } from "../rules/burndown.ts";
import { dayName, dollars, span } from "../rules/format.ts";
import type { Part, Snapshot } from "../state/live.ts";
import { axes, Chart } from "../elements/chart.tsx";
import { Panel, Shown } from "../elements/panel.tsx";

const FIVE_MINUTES = 300_000;

export function BurndownPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  return (
    <Panel title="Weekly budget left" name="burndown" aside={<Keys />}>
      <Shown part={both(snapshot)} lines={8}>
        {({ pool, costs }) => (
          <Curve
            points={points(pool, costs, now)}
            budget={pool.weekly_budget_usd}
            note={
              pool.forecast.exhausted_at === null
                ? "At the present rate it lasts."
                : `Those that take work have ${dollars(pool.forecast.weekly_headroom_usd)}, for ${span(Date.parse(pool.forecast.exhausted_at) - now)} at this rate.`
            }
          />
        )}
      </Shown>
    </Panel>
  );
}

function Keys() {
  return (
    <span class="muted keys">
      <i class="line" aria-hidden="true" /> was <i class="line dashed" aria-hidden="true" /> at this rate
    </span>
  );
}

interface Both {
  pool: Pool;
  costs: UsageBreakdown;
}

/** Both are needed for the curve: without costs it would be a line that never was. */
function both({ pool, costs }: Snapshot): Part<Both> {
  const value = pool.value && costs.value && { pool: pool.value, costs: costs.value };
  return { value, problem: pool.problem ?? costs.problem };
}

function points(pool: Pool, { items }: UsageBreakdown, now: number): Point[] {
  const costs = items.map((each) => ({ at: Date.parse(each.block ?? ""), usd: each.cost_usd }));
  return burndown(
    costs,
    {
      budget: pool.weekly_budget_usd,
      burnPerHour: pool.forecast.burn_rate_usd_per_hour,
      left: pool.weekly_budget_usd - pool.weekly_used_usd,
    },
    now - (now % FIVE_MINUTES),
  );
}

function Curve({ points, budget, note }: { points: Point[]; budget: number; note: string }) {
  const text = JSON.stringify(points);
  const data = useMemo<uPlot.AlignedData>(
    () => [
      points.map((each) => each.at / 1000),
      points.map((each) => each.left),
      points.map((each) => each.projected),
    ],
    [text],
  );
  const now = points.find((each) => each.left !== null && each.projected !== null);
  return (
    <>
      <Chart
        label={`Weekly budget left: ${dollars(now?.left ?? 0)} of ${dollars(budget)}. ${note}`}
        height={220}
        data={data}
        shape={String(budget)}
        options={(colour) => ({
          legend: { show: false },
          cursor: { show: false },
          scales: { x: { time: true }, y: { range: [0, Math.max(budget, 1)] } },
          axes: axes(
            colour,
            dayName,
            (each) => (each === 0 ? "0" : dollars(each).replace(/\.00$/, "")),
            midnights(points),
          ),
          series: [
            {},
            { stroke: colour("accent"), width: 2, fill: colour("accent-soft"), points: { show: false } },
            { stroke: colour("accent"), width: 2, dash: [5, 5], points: { show: false } },
          ],
        })}
      />
      <p class="after">
        <strong>{dollars(now?.left ?? 0)}</strong> of {dollars(budget)} left.
        <span class="rest">{note}</span>
      </p>
    </>
  );
}

function midnights(points: readonly Point[]): number[] {
  const last = points.at(-1)?.at ?? 0;
  const day = new Date(points[0]?.at ?? 0);
  day.setHours(24, 0, 0, 0);
  const found: number[] = [];
  for (; day.getTime() <= last; day.setDate(day.getDate() + 1)) found.push(day.getTime());
  return found;
}
