import { useState } from "preact/hooks";

import type { Block, PageOf, Subscription } from "../api/types.ts";
import { clock, count, dollars, percent, plural, span, windowName, words } from "../rules/format.ts";
import { useAround, useLoaded } from "../state/hooks.ts";
import type { Snapshot } from "../state/live.ts";
import { leave } from "../state/place.ts";
import { type Change, Confirm } from "../elements/confirm.tsx";
import { Drawer } from "../elements/drawer.tsx";
import { Facts } from "../elements/facts.tsx";
import { Meter } from "../elements/meter.tsx";
import { Nothing, Shown } from "../elements/panel.tsx";
import { Reasons } from "../elements/reasons.tsx";
import { State } from "../panels/subscriptions.tsx";

interface DetailProps {
  id: string;
  snapshot: Snapshot;
  now: number;
  signIn: () => void;
}

export function SubscriptionDetail({ id, snapshot, now, signIn }: DetailProps) {
  const [change, setChange] = useState<Change | null>(null);
  const of = snapshot.subscriptions.value?.find((each) => each.id === id);
  if (of === undefined) {
    return (
      <Drawer title={id} close={leave}>
        <Nothing>
          {snapshot.subscriptions.value === null ? "Not read yet." : "There is no such subscription (any more)."}
        </Nothing>
      </Drawer>
    );
  }
  return (
    <>
      <Drawer
        title={
          <>
            {of.id} <State of={of} />
          </>
        }
        close={leave}
        actions={<Actions of={of} ask={setChange} />}
      >
        <p class="lead">
          {of.state_reason.replace(/\.?$/, ".")}
          {of.state_until !== null && ` Until ${clock(of.state_until, now)}.`}
          {of.presence === "asleep" && " It is asleep, and wakes for the first request."}
        </p>
        <Windows of={of} now={now} />
        <h3>
          Health <span class="muted">{of.health.score.toFixed(0)} of 100</span>
        </h3>
        <Reasons components={of.health.components} />
        <Evidence of={of} now={now} />
        <h3>Blocks</h3>
        <Blocks of={of} now={now} />
        <h3>Settings</h3>
        <Settings of={of} now={now} />
      </Drawer>
      {change !== null && <Confirm change={change} close={() => setChange(null)} signIn={signIn} />}
    </>
  );
}

function Actions({ of, ask }: { of: Subscription; ask: (change: Change) => void }) {
  const { live } = useAround();
  const act = async (verb: string) => {
    await live.client.act("POST", `/v1/subscriptions/${encodeURIComponent(of.id)}/${verb}`);
    live.refresh();
  };
  const load = `${plural(of.running, "run")} and ${of.queued} waiting`;
  const rests = of.state === "paused" || of.state === "draining" || of.state === "cooldown";
  return (
    <>
      {rests && (
        <button
          type="button"
          onClick={() =>
            ask({
              title: `Resume ${of.id}?`,
              effect: "It takes new work at once, as far as its limits have room.",
              verb: `Resume ${of.id}`,
              run: () => act("resume"),
            })
          }
        >
          Resume
        </button>
      )}
      {of.state !== "paused" && of.state !== "draining" && (
        <>
          <button
            type="button"
            onClick={() =>
              ask({
                title: `Pause ${of.id}?`,
                effect: `It takes no new work until it is resumed. What it has goes on: ${load}.`,
                verb: `Pause ${of.id}`,
                run: () => act("pause"),
              })
            }
          >
            Pause
          </button>
          <button
            type="button"
            onClick={() =>
              ask({
                title: `Drain ${of.id}?`,
                effect: `It ends what it has (${load}) and takes nothing new, sessions included: the step before it is removed.`,
                verb: `Drain ${of.id}`,
                grave: true,
                run: () => act("drain"),
              })
            }
          >
            Drain
          </button>
        </>
      )}
    </>
  );
}

function Windows({ of, now }: { of: Subscription; now: number }) {
  const windows = Object.entries(of.windows);
  return (
    <>
      <h3>Windows and budget</h3>
      <table class="plain windows-table">
        <caption class="hidden">Windows and budget</caption>
        <tbody>
          {windows.map(([name, window]) => {
            const forecast = of.forecast.windows[name];
            return (
              <tr key={name}>
                <th scope="row">{windowName(name)}</th>
                <td>
                  <Meter
                    share={window.status === "rejected" ? 1 : window.utilization}
                    source="window"
                    label={windowName(name)}
                  />
                </td>
                <td>
                  {window.resets_at === null ? "no reset known" : `resets ${clock(window.resets_at, now)}`}
                  <span class="muted">
                    {" "}
                    · {words(window.status).toLowerCase()}, seen {span(window.age_seconds * 1000)} ago
                    {window.fresh ? "" : ", too old to count"}
                  </span>
                  {forecast?.usd_per_percent != null && (
                    <span class="muted">
                      {" "}
                      · {dollars(forecast.usd_per_percent)} a percent ({forecast.confidence} confidence)
                    </span>
                  )}
                  {forecast?.past != null && (
                    <span class="muted">
                      {" "}
                      · the last left {percent(forecast.past.unused_percent / 100)} unused
                      {forecast.past.unused_usd !== null && `, ${dollars(forecast.past.unused_usd)}`}
                    </span>
                  )}
                  {forecast?.outside != null && (
                    <span class="muted"> · at least {percent(forecast.outside.percent / 100)} used outside</span>
                  )}
                </td>
              </tr>
            );
          })}
          <tr>
            <th scope="row">This block</th>
            <td>
              <Meter share={of.current_block.percent / 100} source="local" label="This block" />
            </td>
            <td>
              {dollars(of.current_block.cost_usd)} of {dollars(of.expected_block_usd)} expected
              <span class="muted">
                {" "}
                · until {clock(of.current_block.ends_at, now)}, about {dollars(of.forecast.projected_block_usd)} by then
              </span>
            </td>
          </tr>
          <tr>
            <th scope="row">Seven days</th>
            <td>
              <Meter share={of.weekly.percent / 100} source="local" label="Seven days" />
            </td>
            <td>
              {dollars(of.weekly.used_usd)} of {dollars(of.weekly.budget_usd)}
              {of.weekly.reserved_usd > 0 && (
                <span class="muted"> · {dollars(of.weekly.reserved_usd)} held for work under way</span>
              )}
            </td>
          </tr>
        </tbody>
      </table>
    </>
  );
}

function Evidence({ of, now }: { of: Subscription; now: number }) {
  const told: string[] = [];
  if (of.cooldown_cause !== null) told.push(`It rests after failures: ${words(of.cooldown_cause).toLowerCase()}.`);
  if (of.unproved !== null) {
    told.push(`It rested (${words(of.unproved).toLowerCase()}); no run has shown since that it works again.`);
  }
  for (const each of of.refused_models) {
    const until = each.until === null ? "" : ` until ${clock(each.until, now)}`;
    told.push(`${each.model} is refused${until}.`);
  }
  if (of.uncertain > 0) told.push(`${plural(of.uncertain, "execution")} of unknown cost, ${dollars(of.uncertain_usd)} held.`);
  if (told.length === 0) return null;
  return (
    <>
      <h3>Evidence</h3>
      <ul class="evidence">
        {told.map((each) => (
          <li key={each}>{each}</li>
        ))}
      </ul>
    </>
  );
}

function Blocks({ of, now }: { of: Subscription; now: number }) {
  const { live } = useAround();
  const part = useLoaded(
    `blocks ${of.id} ${of.current_block.cost_usd}`,
    () => live.client.get<PageOf<Block>>(`/v1/subscriptions/${encodeURIComponent(of.id)}/blocks`, { limit: 10 }),
    60_000,
  );
  return (
    <Shown part={part} lines={4}>
      {({ items }) =>
        items.length === 0 ? (
          <Nothing>It has spent nothing yet.</Nothing>
        ) : (
          <table class="plain">
            <caption class="hidden">What its latest blocks have cost</caption>
            <tbody>
              {items.map((each) => (
                <tr key={each.id}>
                  <th scope="row">{clock(each.starts_at, now)}</th>
                  <td>
                    <Meter share={each.percent / 100} source="local" label={clock(each.starts_at, now)} />
                  </td>
                  <td class="number">{dollars(each.cost_usd)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )
      }
    </Shown>
  );
}

function Settings({ of, now }: { of: Subscription; now: number }) {
  return (
    <Facts
      facts={[
        ["Kind", of.kind],
        ["E-mail", of.email],
        ["Login ends", of.login_expires_at === null ? "not known" : clock(of.login_expires_at, now)],
        ["Weekly budget", dollars(of.weekly.budget_usd)],
        ["Expected block", dollars(of.expected_block_usd)],
        ["Slots", `${of.capacity} of ${of.max_concurrent} now, ${of.max_queued} may wait`],
        ["Weight, tier", `${of.weight}, ${of.tier}`],
        ["Kept for its human", of.reserve_percent ? `${of.reserve_percent}%` : null],
        ["Beyond its windows", of.allow_overage ? "allowed" : "not allowed"],
        ["Ever", `${plural(of.totals.executions, "execution")}, ${dollars(of.totals.usage.cost_usd)}, ${count(of.totals.usage.output_tokens)} tokens written`],
        ["Node", of.node],
        ["With their callers", of.waiting_for_caller ? `${plural(of.waiting_for_caller, "execution")}, waiting for results of tools` : null],
        ["Last request", of.last_request_at === null ? "none yet" : clock(of.last_request_at, now)],
      ]}
    />
  );
}
