import { useMemo, useState } from "preact/hooks";
import uPlot from "uplot";

import { type By, type Costs, type Step, stacked, steps, wholeDays } from "../rules/costs.ts";
import { clock, dollars, utcDay, words } from "../rules/format.ts";
import { useAround, useLoaded } from "../state/hooks.ts";
import { type Snapshot, TREND_DAYS } from "../state/live.ts";
import { axes, Chart } from "../elements/chart.tsx";
import { Choice } from "../elements/choice.tsx";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

const RANGES = { "2": "Blocks", "7": "7 days", "30": "30 days" };
const BYS: Partial<Record<By, string>> = { subscription: "Subscription", model: "Model", key: "Key" };
const EVERY_MS = 30_000;

export function CostsPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const { live } = useAround();
  const [range, setRange] = useState<keyof typeof RANGES>("7");
  const [by, setBy] = useState<By>("subscription");
  const step: Step = range === "2" ? "block" : "day";
  const days = Number(range);
  const today = Math.floor(now / 86_400_000);
  const span = useMemo(() => wholeDays(days, now), [days, today]);
  const turn = Math.floor(snapshot.recorded / 20);
  // What trends tell is there already.
  const isKnown = by === "subscription" && days < TREND_DAYS;
  const loaded = useLoaded(
    isKnown ? null : `${range} ${by} ${today} ${turn} ${snapshot.returns}`,
    () => live.usage.read(span, [step, by]),
    EVERY_MS,
  );
  const part = isKnown ? snapshot.trends : loaded;
  const tags = (snapshot.costs.value?.tags ?? []).map((each) => [`tag:${each}`, words(each)]);
  const bys = { ...BYS, ...(Object.fromEntries(tags) as typeof BYS) };
  const starts = steps(step, Date.parse(span.since), Math.min(Date.parse(span.until), now + 1));
  return (
    <Panel
      title="Cost"
      name="costs"
      aside={
        <>
          <Choice name="By" options={bys} value={by} change={(each) => setBy(each)} />
          <Choice name="Range" options={RANGES} value={range} change={(each) => setRange(each)} />
        </>
      }
    >
      <Shown part={part} lines={8}>
        {(found) => <Stack costs={stacked(found.items, step, by, starts)} step={step} now={now} />}
      </Shown>
    </Panel>
  );
}

function Stack({ costs, step, now }: { costs: Costs; step: Step; now: number }) {
  const [at, setAt] = useState<number | null>(null);
  const text = JSON.stringify([costs.starts, costs.series]);
  const data = useMemo(() => cumulated(costs), [text]);
  const names = costs.series.map((each) => each.name).join("\n");
  const time = (each: number) => (step === "day" ? utcDay(each) : clock(each, now));
  const shown = at === null ? null : (costs.starts[at] ?? null);
  if (costs.series.length === 0) return <Nothing>Nothing was spent in this time.</Nothing>;
  return (
    <>
      <Chart
        label={`Cost by ${step}: ${costs.series.map((each) => `${each.name} ${dollars(each.total)}`).join(", ")}`}
        height={220}
        data={data}
        shape={`${names} ${step} ${costs.starts.length}`}
        options={(colour) => ({
          legend: { show: false },
          cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
          scales: { x: { time: true, range: (_, least, most) => padded(least, most, step) }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
          axes: axes(colour, time, (each) => (each === 0 ? "0" : dollars(each).replace(/\.00$/, "")), costs.starts),
          series: [
            {},
            ...costs.series.map((_, index) => ({
              fill: colour(`series-${costs.series.length - index}`),
              width: 0,
              points: { show: false },
              paths: uPlot.paths.bars?.({ size: [0.62, 44], radius: 0.12 }) ?? null,
            })),
          ] as uPlot.Series[],
          hooks: { setCursor: [(plot) => setAt(plot.cursor.idx ?? null)] },
        })}
      />
      <table class="legend">
        <caption class="hidden">Cost by name</caption>
        <thead class="hidden">
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Cost</th>
          </tr>
        </thead>
        <tbody>
          {costs.series.map((each, index) => (
            <tr key={each.name}>
              <th scope="row">
                <i class={`swatch s${index + 1}`} aria-hidden="true" />
                {each.name}
              </th>
              <td>{dollars(at === null ? each.total : (each.values[at] ?? 0))}</td>
            </tr>
          ))}
          <tr class="total">
            <th scope="row">{shown === null ? "All of it" : time(shown)}</th>
            <td>
              {dollars(
                at === null ? costs.total : costs.series.reduce((sum, each) => sum + (each.values[at] ?? 0), 0),
              )}
            </td>
          </tr>
        </tbody>
      </table>
    </>
  );
}

/** Each series with those below it; the highest is drawn first, and the others before it. */
function cumulated(costs: Costs): uPlot.AlignedData {
  const sums: number[][] = [];
  let below = costs.starts.map(() => 0);
  for (const each of costs.series) {
    below = below.map((sum, index) => sum + (each.values[index] ?? 0));
    sums.push(below);
  }
  return [costs.starts.map((each) => each / 1000), ...sums.reverse()];
}

function padded(least: number, most: number, step: Step): [number, number] {
  const half = (step === "day" ? 86_400 : 5 * 3_600) * 0.6;
  return [least - half, most + half];
}
