import { useMemo, useState } from "preact/hooks";

import type { Subscription } from "../api/types.ts";
import { steps, trendOf } from "../rules/costs.ts";
import { clock, dollars, percent, shortSpan, span, windowName } from "../rules/format.ts";
import { byUrgency, serves, stateName, stateTone } from "../rules/serving.ts";
import type { Snapshot } from "../state/live.ts";
import { hrefOf } from "../state/place.ts";
import { Meter } from "../elements/meter.tsx";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";
import { Sparkline } from "../elements/sparkline.tsx";

const FIRST = 12;
const WEEK = 7 * 86_400_000;

export function SubscriptionsPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const [all, setAll] = useState(false);
  const [wanted, setWanted] = useState("");
  const rows = snapshot.trends.value?.items ?? null;
  const blocks = useMemo(() => steps("block", now - WEEK, now), [Math.floor(now / 60_000)]);
  const known = snapshot.subscriptions.value?.length ?? 0;
  return (
    <Panel
      title="Subscriptions"
      name="subscriptions"
      aside={
        known > FIRST ? (
          <label class="search">
            <span class="hidden">Filter subscriptions</span>
            <input
              type="search"
              placeholder="Filter by name or state"
              value={wanted}
              onInput={(event) => setWanted(event.currentTarget.value)}
            />
          </label>
        ) : (
          <span class="count">{known || ""}</span>
        )
      }
    >
      <Shown part={snapshot.subscriptions} lines={5}>
        {(subscriptions) => {
          const found = subscriptions.filter((each) => fits(each, wanted)).sort(byUrgency);
          const shown = all || wanted ? found : found.slice(0, FIRST);
          const onNodes = new Set(subscriptions.map((each) => each.node)).size > 1;
          return (
            <>
              <div class="scroll">
                <table class="subscriptions">
                  <thead>
                    <tr>
                      <th scope="col">Subscription</th>
                      <th scope="col">Five hours</th>
                      <th scope="col">Week</th>
                      <th scope="col" class="number">
                        Slots
                      </th>
                      <th scope="col" class="number">
                        Burn
                      </th>
                      <th scope="col">Runs dry</th>
                      <th scope="col" class="number last">
                        Left unused
                      </th>
                      <th scope="col" class="trend">
                        Seven days
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map((each) => (
                      <Row
                        key={each.id}
                        of={each}
                        trend={rows && trendOf(rows, each.id, blocks)}
                        now={now}
                        onNodes={onNodes}
                      />
                    ))}
                  </tbody>
                </table>
              </div>
              {shown.length === 0 && <Nothing>No subscription is called that.</Nothing>}
              {found.length > FIRST && !wanted && (
                <button type="button" class="quiet more" onClick={() => setAll(!all)}>
                  {all ? "Show the most urgent" : `Show all ${found.length}`}
                </button>
              )}
            </>
          );
        }}
      </Shown>
    </Panel>
  );
}

function fits(each: Subscription, wanted: string): boolean {
  const about = [each.id, each.email, each.kind, stateName(each.state), each.presence, each.node];
  const text = about.filter((one) => one !== null).join(" ").toLowerCase();
  return text.includes(wanted.trim().toLowerCase());
}

interface RowProps {
  of: Subscription;
  trend: number[] | null;
  now: number;
  /** Whether it matters where each is. */
  onNodes: boolean;
}

function Row({ of, trend, now, onNodes }: RowProps) {
  const fiveHour = of.windows["five_hour"];
  const week = of.windows["seven_day"];
  const until = of.state_until === null ? null : Date.parse(of.state_until);
  const under = [
    until !== null && until > now && of.state !== "needs_login" ? `until ${clock(until, now)}` : null,
    of.presence === "asleep" ? "asleep" : null,
    onNodes && of.node !== null ? `on ${of.node}` : null,
  ].filter((each) => each !== null);
  return (
    <tr class={`state-${stateTone(of.state)}`}>
      <th scope="row">
        <a href={hrefOf({ kind: "subscription", id: of.id })}>{of.id}</a>
        <State of={of} />
        {under.length > 0 && <span class="until">{under.join(" · ")}</span>}
      </th>
      <td data-label="Five hours">
        <Meter
          share={of.block_percent / 100}
          source={of.block_source}
          label="Five hours"
          note={resetNote(fiveHour?.fresh ? fiveHour.resets_at : of.current_block.ends_at, now)}
        />
      </td>
      <td data-label="Week">
        <Meter
          share={of.weekly_percent / 100}
          source={of.weekly_source}
          label="Week"
          note={
            <>
              {dollars(of.weekly.used_usd)}
              <span class="muted"> / {dollars(of.weekly.budget_usd).replace(/\.00$/, "")}</span>
              {week?.fresh && <span class="muted">{resetNote(week.resets_at, now)}</span>}
            </>
          }
        />
      </td>
      <td class="number" data-label="Slots">
        <Slots of={of} />
      </td>
      <td class="number" data-label="Burn">
        {of.burn_rate_usd_per_hour < 0.005 ? (
          <span class="muted">–</span>
        ) : (
          `${dollars(of.burn_rate_usd_per_hour)}/h`
        )}
      </td>
      <td data-label="Runs dry" class="dry">
        <Dry of={of} now={now} />
      </td>
      <td class="number last" data-label="Left unused">
        <LeftUnused of={of} trend={trend} now={now} />
      </td>
      <td class="trend">
        <Sparkline values={trend ?? []} label={`${of.id}, costs of seven days by block`} />
      </td>
    </tr>
  );
}

export function State({ of }: { of: Subscription }) {
  return (
    <span class={`state ${stateTone(of.state)}`} title={of.state_reason}>
      {stateName(of.state)}
    </span>
  );
}

function Slots({ of }: { of: Subscription }) {
  return (
    <>
      {of.running}
      <span class="muted">/{of.capacity}</span>
      {of.queued > 0 && <span class="queued"> +{of.queued}</span>}
      {of.queued > 0 && <span class="hidden"> waiting</span>}
      {of.waiting_for_caller > 0 && (
        <span class="under muted" title="They wait for results of their callers' tools, and hold no slot">
          {of.waiting_for_caller} with caller
        </span>
      )}
    </>
  );
}

function Dry({ of, now }: { of: Subscription; now: number }) {
  const { exhausted_at, exhausted_by } = of.forecast;
  if (!serves(of)) return <span class="muted">–</span>;
  if (exhausted_at === null) return <span class="muted">not at this rate</span>;
  const at = Date.parse(exhausted_at);
  const text = at - now < 1000 ? "now" : `in ${span(at - now)}`;
  return (
    <span title={clock(at, now)}>
      {text}
      <span class="under muted">{windowName(exhausted_by ?? "").toLowerCase()}</span>
    </span>
  );
}

/** What the last five hours had left: by Anthropic's window, or by what a block is expected to cost. */
function LeftUnused({ of, trend, now }: { of: Subscription; trend: number[] | null; now: number }) {
  const past = of.forecast.windows["five_hour"]?.past ?? null;
  if (past !== null) {
    const worth = past.unused_usd === null ? "" : ` (${dollars(past.unused_usd)})`;
    const week = of.forecast.windows["seven_day"]?.past ?? null;
    const before = week === null ? "" : `; the last week left ${percent(week.unused_percent / 100)}`;
    const text = `The window that ended ${clock(past.ended_at, now)} left ${percent(past.unused_percent / 100)}${worth}${before}`;
    return <span title={text}>{percent(past.unused_percent / 100)}</span>;
  }
  const last = trend?.at(-2);
  if (last === undefined || of.expected_block_usd <= 0) return <span class="muted">–</span>;
  const left = percent(Math.max(0, 1 - last / of.expected_block_usd));
  const text = `By the pool's own records: the last block cost ${dollars(last)}, ${left} less than expected`;
  return (
    <span class="muted" title={text}>
      {left}
    </span>
  );
}

function resetNote(at: string | null, now: number): string {
  if (at === null) return "";
  const left = Date.parse(at) - now;
  return left > 0 ? ` ↻ ${shortSpan(left)}` : "";
}

