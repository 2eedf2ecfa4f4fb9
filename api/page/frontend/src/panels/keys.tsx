import { useState } from "preact/hooks";

import type { Key, PageOf } from "../api/types.ts";
import { clock, dollars } from "../rules/format.ts";
import { useAround, useLoaded, useSnapshot } from "../state/hooks.ts";
import { type Change, Confirm } from "../elements/confirm.tsx";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

interface Issued {
  secret: string;
  key: Key;
}

const NONE: PageOf<Key> = { items: [], next_cursor: null };
const SCOPES = ["execute", "read", "read_all", "report", "admin"];

/** The keys of callers: for those who may administer them; nobody else sees this part. */
export function KeysPanel({ now, signIn }: { now: number; signIn: () => void }) {
  const { live, key } = useAround();
  const { since } = useSnapshot();
  const isKnown = key.get() !== null; // keys are nothing that anybody is told anonymously
  const [turn, setTurn] = useState(0);
  const [change, setChange] = useState<Change | null>(null);
  const [issued, setIssued] = useState<Issued | null>(null);
  const part = useLoaded<PageOf<Key>>(`keys ${turn} ${since}`, () => (isKnown ? live.client.get<PageOf<Key>>("/v1/keys") : Promise.resolve(NONE)), 60_000);
  if (!isKnown || (part.value === null && part.problem !== null)) return null;
  const changed = () => setTurn((n) => n + 1);
  const revoke = (key: Key) =>
    setChange({
      title: `Revoke ${key.name}?`,
      effect: "Within two seconds it opens nothing any more. What it has running goes on.",
      verb: `Revoke ${key.name}`,
      grave: true,
      run: async () => {
        await live.client.act("DELETE", `/v1/keys/${encodeURIComponent(key.id)}`);
        changed();
      },
    });
  const rotate = (key: Key) =>
    setChange({
      title: `Rotate ${key.name}?`,
      effect: "It gets a new secret, which is shown once. The old one goes on for an hour.",
      verb: `Rotate ${key.name}`,
      run: async () => {
        const path = `/v1/keys/${encodeURIComponent(key.id)}/rotate?grace_seconds=3600`;
        setIssued(await live.client.act<Issued>("POST", path));
        changed();
      },
    });
  return (
    <Panel title="Keys" name="key-list" aside={<span class="muted">who may call, and how much</span>}>
      {issued !== null && (
        <div class="secret" role="status">
          <p>
            <strong>{issued.key.name}</strong>: this is the only time that its secret is shown.
          </p>
          <code>{issued.secret}</code>
          <button type="button" class="quiet" onClick={() => setIssued(null)}>
            I have it
          </button>
        </div>
      )}
      <Shown part={part} lines={3}>
        {({ items }) =>
          items.length === 0 ? (
            <Nothing>No key was made yet: the pool answers this machine alone.</Nothing>
          ) : (
            <div class="scroll">
              <table class="keys-table">
                <thead>
                  <tr>
                    <th scope="col">Key</th>
                    <th scope="col">May</th>
                    <th scope="col" class="number">
                      Today
                    </th>
                    <th scope="col" class="number">
                      Week
                    </th>
                    <th scope="col">Until</th>
                    <th scope="col">
                      <span class="hidden">Changes</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((each) => (
                    <tr key={each.id}>
                      <th scope="row">{each.name}</th>
                      <td data-label="May" class="muted">
                        {each.scopes.join(", ")}
                        {each.tenant != null && ` · ${each.tenant}`}
                      </td>
                      <td data-label="Today" class="number">
                        <Spent used={each.used?.today_usd} budget={each.daily_budget_usd} />
                      </td>
                      <td data-label="Week" class="number">
                        <Spent used={each.used?.week_usd} budget={each.weekly_budget_usd} />
                      </td>
                      <td data-label="Until" class="muted">
                        {until(each, now)}
                      </td>
                      <td class="number">
                        {each.declared ? (
                          <span class="muted">in pool.toml</span>
                        ) : each.revoked_at === null ? (
                          <>
                            <button type="button" class="quiet" onClick={() => rotate(each)}>
                              Rotate<span class="hidden"> {each.name}</span>
                            </button>
                            <button type="button" class="quiet" onClick={() => revoke(each)}>
                              Revoke<span class="hidden"> {each.name}</span>
                            </button>
                          </>
                        ) : null}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Shown>
      <NewKey
        ask={(name, scopes) =>
          setChange({
            title: `Make the key ${name}?`,
            effect: `Whoever has it may: ${scopes.join(", ")}. Its secret is shown once. A pool with its first key answers nobody without one.`,
            verb: "Make the key",
            run: async () => {
              setIssued(await live.client.act<Issued>("POST", "/v1/keys", { name, scopes }));
              changed();
            },
          })
        }
      />
      {change !== null && <Confirm change={change} close={() => setChange(null)} signIn={signIn} />}
    </Panel>
  );
}

function until(key: Key, now: number): string {
  if (key.revoked_at !== null) return "revoked";
  return key.expires_at === null ? "no end" : clock(key.expires_at, now);
}

function Spent({ used, budget }: { used: number | undefined; budget: number | null }) {
  if (used === undefined) return <span class="muted">not counted</span>;
  return (
    <>
      {dollars(used)}
      {budget !== null && <span class="muted"> / {dollars(budget)}</span>}
    </>
  );
}

function NewKey({ ask }: { ask: (name: string, scopes: string[]) => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState(["execute", "read"]);
  const toggle = (scope: string, on: boolean) =>
    setScopes(SCOPES.filter((each) => (each === scope ? on : scopes.includes(each))));
  return (
    <form
      class="new-key"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim() && scopes.length) ask(name.trim(), scopes);
      }}
    >
      <label>
        <span class="hidden">Name of a new key</span>
        <input
          value={name}
          placeholder="Name of a new key"
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <fieldset>
        <legend class="hidden">It may</legend>
        {SCOPES.map((each) => (
          <label key={each} class="check">
            <input
              type="checkbox"
              checked={scopes.includes(each)}
              onChange={(event) => toggle(each, event.currentTarget.checked)}
            />
            {each}
          </label>
        ))}
      </fieldset>
      <button type="submit" disabled={!name.trim() || scopes.length === 0}>
        Make it
      </button>
    </form>
  );
}
