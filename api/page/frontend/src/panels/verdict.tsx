import type { Subscription } from "../api/types.ts";
import { Figure } from "../elements/figure.tsx";
import { dollars, plural, span } from "../rules/format.ts";
import { serves } from "../rules/serving.ts";
import { said } from "../rules/verdict.ts";
import type { Snapshot } from "../state/live.ts";
import { Denied, Loading } from "../elements/panel.tsx";

const DAY = 86_400_000;

export function VerdictPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const pool = snapshot.pool.value;
  const subscriptions = snapshot.subscriptions.value;
  if (pool === null || subscriptions === null) {
    const problem = snapshot.pool.problem ?? snapshot.subscriptions.problem;
    return (
      <section class="panel verdict" aria-label="Verdict">
        {problem === null || problem.isSilence ? (
          <Loading lines={6} />
        ) : (
          <Denied problem={problem} />
        )}
      </section>
    );
  }
  const verdict = said(pool, subscriptions, now);
  const serving = subscriptions.filter(serves);
  const slots = serving.reduce((sum, each) => sum + each.capacity, 0);
  return (
    <section class={`panel verdict ${pool.verdict.level}`} aria-label="Verdict">
      <div class="said" role="status">
        <p class="headline">
          <i aria-hidden="true" />
          {verdict.headline}
        </p>
        <p class="first">{verdict.first}</p>
        {verdict.relief !== null && <p>{verdict.relief}</p>}
        {verdict.burner !== null && <p>{verdict.burner}</p>}
      </div>
      <dl class="figures">
        <Figure
          name="Cost today"
          value={costToday(snapshot, now)}
          note={`${dollars(pool.block_cost_usd)} in this block`}
        />
        <Figure
          name="Burning"
          value={`${dollars(pool.forecast.burn_rate_usd_per_hour)}/h`}
          note={`→ ${dollars(pool.forecast.projected_block_usd)} this block`}
        />
        <Figure
          name="Headroom"
          value={dollars(pool.forecast.weekly_headroom_usd)}
          note={
            pool.forecast.exhausted_at === null
              ? `of ${dollars(pool.weekly_budget_usd)} a week`
              : `lasts ${span(Date.parse(pool.forecast.exhausted_at) - now)}`
          }
        />
        <Figure
          name="Running"
          value={`${pool.running}/${slots}`}
          note={besideRuns(pool.queued, subscriptions, Math.max(0, slots - pool.running))}
        />
      </dl>
    </section>
  );
}

/** What waits for a slot, or else for its caller, or else the room that there is. */
function besideRuns(queued: number, subscriptions: readonly Subscription[], free: number): string {
  if (queued > 0) return `${queued} waiting`;
  const held = subscriptions.reduce((sum, each) => sum + each.waiting_for_caller, 0);
  return held > 0 ? `${held} with ${held === 1 ? "its caller" : "their callers"}` : `${plural(free, "slot")} free`;
}

/** Since midnight in UTC, which is where the pool's days begin. */
function costToday(snapshot: Snapshot, now: number): string {
  const rows = snapshot.costs.value?.items;
  if (rows === undefined) return "–";
  const midnight = now - (now % DAY);
  const today = rows.filter((each) => Date.parse(each.block ?? "") >= midnight);
  return dollars(today.reduce((sum, each) => sum + each.cost_usd, 0));
}
