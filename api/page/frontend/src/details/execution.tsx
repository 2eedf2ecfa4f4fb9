import { useState } from "preact/hooks";

import type { Candidate, Execution, ExecutionStatus, Routing } from "../api/types.ts";
import { clock, count, dollars, plural, span, words } from "../rules/format.ts";
import { useAround, useLoaded } from "../state/hooks.ts";
import type { Snapshot } from "../state/live.ts";
import { hrefOf, leave } from "../state/place.ts";
import { type Change, Confirm } from "../elements/confirm.tsx";
import { Drawer } from "../elements/drawer.tsx";
import { costOf, modelName, Status, took } from "../panels/executions.tsx";
import { Facts } from "../elements/facts.tsx";
import { Shown } from "../elements/panel.tsx";
import { Reasons } from "../elements/reasons.tsx";

const LIVE: ExecutionStatus[] = ["queued", "running", "waiting_for_caller"];

interface DetailProps {
  id: string;
  snapshot: Snapshot;
  now: number;
  signIn: () => void;
}

export function ExecutionDetail({ id, snapshot, now, signIn }: DetailProps) {
  const { live } = useAround();
  const [change, setChange] = useState<Change | null>(null);
  const listed = snapshot.executions.value?.find((each) => each.id === id);
  const path = `/v1/executions/${encodeURIComponent(id)}`;
  const version = `${listed?.status} ${listed?.attempts.length}`;
  const part = useLoaded(`${id} ${version}`, () => live.client.get<Execution>(path), 5_000);
  const of = part.value ?? listed ?? null;
  const runs = of !== null && LIVE.includes(of.status);
  const cancel = () =>
    setChange({
      title: "Cancel this execution?",
      effect: "Its run is stopped. What it has cost until then is counted; what it has written is lost.",
      verb: "Cancel the execution",
      grave: true,
      run: async () => {
        await live.client.act("POST", `${path}/cancel`);
        live.refresh();
      },
    });
  return (
    <>
      <Drawer
        title={
          <>
            Execution {of !== null && <Status of={of.status} />}
          </>
        }
        close={leave}
        actions={
          runs ? (
            <button type="button" class="grave" onClick={cancel}>
              Cancel it
            </button>
          ) : undefined
        }
      >
        <Shown part={{ value: of, problem: part.problem }} lines={8}>
          {(each) => <Body of={each} now={now} />}
        </Shown>
      </Drawer>
      {change !== null && <Confirm change={change} close={() => setChange(null)} signIn={signIn} />}
    </>
  );
}

function Body({ of, now }: { of: Execution; now: number }) {
  return (
    <>
      {of.error !== null && (
        <p class="error">
          <strong>{words(of.error.type)}.</strong> {of.error.message}
        </p>
      )}
      {of.status === "waiting_for_caller" && <Waits of={of} now={now} />}
      <Facts
        facts={[
          ["Id", <code>{of.id}</code>],
          [
            "Subscription",
            <a href={hrefOf({ kind: "subscription", id: of.subscription_id })}>{of.subscription_id}</a>,
          ],
          ["Model", modelName(of.model)],
          ["Session", <code>{of.session_id}</code>],
          ["Asked for", clock(of.created_at, now)],
          ["Waited", of.started_at === null ? null : span(Date.parse(of.started_at) - Date.parse(of.created_at))],
          ["Took", took(of, now)],
          ["Rounds of tools", of.rounds?.length ? String(of.rounds.length) : null],
          ["Cost", of.usage.partial ? `${costOf(of)}, as far as is known: the run was cut off` : costOf(of)],
          [
            "Tokens",
            `${count(of.usage.input_tokens)} in, ${count(of.usage.output_tokens)} out, ${count(of.usage.cache_read_input_tokens)} from cache, ${count(of.usage.cache_creation_input_tokens)} to cache`,
          ],
          ...Object.entries(of.metadata).map(([name, value]): [string, string] => [name, value]),
        ]}
      />
      <h3>Why there</h3>
      <p>
        {words(of.routing.reason)}
        {of.routing.reason.endsWith(".") ? "" : "."}{" "}
        <span class="muted">Score {of.routing.score.toFixed(0)} of 100.</span>
      </p>
      <ul class="candidates">
        {of.routing.candidates.map((each) => (
          <One key={each.subscription_id} of={each} chosen={each.subscription_id === of.subscription_id} now={now} />
        ))}
      </ul>
      {(of.routing.considered ?? 0) > of.routing.candidates.length && <p class="muted">{compared(of.routing)}</p>}
      {of.attempts.length > 0 && (
        <>
          <h3>Attempts</h3>
          <table class="plain">
            <caption class="hidden">Attempts, in turn</caption>
            <tbody>
              {of.attempts.map((each, index) => (
                <tr key={index}>
                  <td class="number muted">{index + 1}</td>
                  <th scope="row">{each.subscription_id}</th>
                  <td>
                    {words(each.outcome)}
                    {each.process != null && <span class="muted"> · process {each.process}</span>}
                    {each.node != null && <span class="muted"> · on {each.node}</span>}
                    {each.reason !== null && <span class="muted"> · {each.reason}</span>}
                  </td>
                  <td class="number">{dollars(each.cost_usd)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      <h3>Answer</h3>
      <Answer of={of} />
    </>
  );
}

/** What the caller has to bring, and how long it is waited for. */
function Waits({ of, now }: { of: Execution; now: number }) {
  const calls = of.tool_calls ?? [];
  return (
    <div class="waits">
      <p>
        It waits for its caller to run {plural(calls.length, "tool")}, and holds no slot.
        {of.waits_until != null && ` It ends at ${clock(of.waits_until, now)} if nothing comes.`}
      </p>
      <ul>
        {calls.map((each) => (
          <li key={each.id}>
            <code>
              {each.name} {JSON.stringify(each.input)}
            </code>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** How all subscriptions stood, where only the first of them are listed. */
function compared(of: Routing): string {
  const refused = Object.entries(of.refused ?? {}).map(([cause, number]) => `${count(number)} ${words(cause)}`);
  const refusals = refused.length > 0 ? ` Refused: ${refused.join(", ")}.` : "";
  return `${count(of.considered ?? 0)} subscriptions were compared, ${count(of.usable ?? 0)} could take it.${refusals}`;
}

function One({ of, chosen, now }: { of: Candidate; chosen: boolean; now: number }) {
  const until = of.refused_until === null ? "" : ` (until ${clock(of.refused_until, now)})`;
  return (
    <li>
      <details open={chosen}>
        <summary>
          <b>{of.subscription_id}</b>
          {chosen && <span class="state good">chosen</span>}
          <span class="muted">{of.refusal === null ? `score ${of.score.toFixed(0)}` : `${of.refusal}${until}`}</span>
        </summary>
        <Reasons components={of.components} />
      </details>
    </li>
  );
}

function Answer({ of }: { of: Execution }) {
  if (of.content_removed_at != null) {
    return <p class="muted">It was removed with its prompt, as configured.</p>;
  }
  if (of.result !== null) return <pre class="answer-text">{of.result}</pre>;
  return <p class="muted">{of.finished_at === null ? "Not there yet." : "There is none."}</p>;
}
