import { Figure } from "../elements/figure.tsx";
import { Shown } from "../elements/panel.tsx";
import { clock, count, dollars, plural } from "../rules/format.ts";
import type { Snapshot } from "../state/live.ts";

/** What a caller has used who may not see the pool as a whole. */
export function OwnPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const running = snapshot.executions.value?.filter((each) => each.status === "running").length ?? 0;
  return (
    <section class="panel verdict own" aria-label="Your usage">
      <Shown part={snapshot.own} lines={6}>
        {(own) => (
          <>
            <div class="said">
              <p class="headline">{dollars(own.today.cost_usd)} today</p>
              <p class="first">
                {own.tenant ?? own.key ?? "You"} used {dollars(own.week.cost_usd)} in the last seven days.
              </p>
              <p>This key sees what is its own; the state of the pool is for keys that may read.</p>
            </div>
            <dl class="figures">
              <Figure
                name="This block"
                value={dollars(own.block.cost_usd)}
                note={`until ${clock(own.block_ends_at, now)}`}
              />
              <Figure name="Running" value={String(running)} note={`${plural(running, "execution")} of yours`} />
              <Figure
                name="Left today"
                value={left(own.budgets?.daily_left_usd)}
                note={budget(own.budgets?.daily_usd)}
              />
              <Figure
                name="Left this week"
                value={left(own.budgets?.weekly_left_usd)}
                note={budget(own.budgets?.weekly_usd)}
              />
              <Figure name="Tokens written" value={count(own.week.output_tokens)} note="in seven days" />
            </dl>
          </>
        )}
      </Shown>
    </section>
  );
}

function left(usd: number | null | undefined): string {
  return usd === null || usd === undefined ? "–" : dollars(usd);
}

function budget(usd: number | null | undefined): string {
  return usd === null || usd === undefined ? "no budget of its own" : `of ${dollars(usd)}`;
}
