import type { Execution, ExecutionStatus } from "../api/types.ts";
import { clock, dollars, seconds, words } from "../rules/format.ts";
import { useAround } from "../state/hooks.ts";
import type { Snapshot } from "../state/live.ts";
import { hrefOf } from "../state/place.ts";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

const STATUSES: ExecutionStatus[] = [
  "queued",
  "running",
  "waiting_for_caller",
  "succeeded",
  "failed",
  "cancelled",
  "interrupted",
  "uncertain",
];

export function ExecutionsPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const { live } = useAround();
  const { filter, older } = snapshot;
  return (
    <Panel
      title="Executions"
      name="executions"
      aside={
        <>
          <label>
            <span class="hidden">Status</span>
            <select
              value={filter.status}
              onChange={(event) => live.filter({ ...filter, status: event.currentTarget.value })}
            >
              <option value="">Any status</option>
              {STATUSES.map((each) => (
                <option key={each} value={each}>
                  {statusName(each)}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span class="hidden">Subscription</span>
            <select
              value={filter.subscription_id}
              onChange={(event) => live.filter({ ...filter, subscription_id: event.currentTarget.value })}
            >
              <option value="">Any subscription</option>
              {(snapshot.subscriptions.value ?? []).map((each) => (
                <option key={each.id} value={each.id}>
                  {each.id}
                </option>
              ))}
            </select>
          </label>
        </>
      }
    >
      <Shown part={snapshot.executions} lines={8}>
        {(executions) =>
          executions.length === 0 ? (
            <Nothing>
              {filter.status || filter.subscription_id
                ? "None of this kind."
                : "Nothing was asked of the pool yet. Try: claude-pool run \"Say hello\""}
            </Nothing>
          ) : (
            <>
              <div class="scroll">
                <table class="executions">
                  <thead>
                    <tr>
                      <th scope="col">Status</th>
                      <th scope="col">Began</th>
                      <th scope="col">Subscription</th>
                      <th scope="col">Model</th>
                      <th scope="col" class="why">
                        Why there
                      </th>
                      <th scope="col" class="number">
                        Took
                      </th>
                      <th scope="col" class="number">
                        Cost
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {executions.map((each) => (
                      <Row key={each.id} of={each} now={now} />
                    ))}
                  </tbody>
                </table>
              </div>
              {older !== null && (
                <button type="button" class="quiet more" onClick={() => live.more()}>
                  Show earlier ones
                </button>
              )}
            </>
          )
        }
      </Shown>
    </Panel>
  );
}

function Row({ of, now }: { of: Execution; now: number }) {
  return (
    <tr class="arrives">
      <th scope="row">
        <a href={hrefOf({ kind: "execution", id: of.id })} aria-label={`${statusName(of.status)}, ${of.id}`}>
          <Status of={of.status} />
        </a>
      </th>
      <td data-label="Began" title={`${of.created_at}, ${of.id}`}>
        {clock(of.created_at, now)}
      </td>
      <td data-label="Subscription">
        {of.subscription_id}
        {of.attempts.length > 1 && <span class="muted"> · attempt {of.attempts.length}</span>}
      </td>
      <td data-label="Model" class="muted model">
        {modelName(of.model)}
      </td>
      <td data-label="Why there" class="muted why">
        {of.error === null ? of.routing.reason : of.error.message}
      </td>
      <td data-label="Took" class="number">
        {took(of, now)}
      </td>
      <td data-label="Cost" class="number">
        {of.usage.cost_usd === 0 && !of.usage.partial ? <span class="muted">–</span> : costOf(of)}
      </td>
    </tr>
  );
}

const TONES: Record<string, string> = {
  queued: "rest",
  running: "live",
  waiting_for_caller: "held",
  succeeded: "good",
  failed: "bad",
  uncertain: "warn",
};

export function Status({ of }: { of: ExecutionStatus }) {
  return <span class={`state ${TONES[of] ?? "rest"}`}>{statusName(of)}</span>;
}

export function statusName(of: ExecutionStatus): string {
  return of === "waiting_for_caller" ? "Waits for caller" : words(of);
}

export function took(of: Execution, now: number): string {
  if (of.duration_ms !== null) return seconds(of.duration_ms / 1000);
  if (of.started_at === null) return "–";
  return seconds(Math.max(0, (now - Date.parse(of.started_at)) / 1000));
}

export function costOf(of: Execution): string {
  return `${of.usage.partial ? "≥ " : ""}${dollars(of.usage.cost_usd)}`;
}

export function modelName(model: string): string {
  return model.replace(/^claude-/, "").replace(/-\d{8}$/, "");
}

