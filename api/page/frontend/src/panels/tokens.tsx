import type { UsageRow } from "../api/types.ts";
import { count, percent } from "../rules/format.ts";
import type { Snapshot } from "../state/live.ts";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

const KINDS: [string, keyof UsageRow][] = [
  ["Cache read", "cache_read_input_tokens"],
  ["Cache write", "cache_creation_input_tokens"],
  ["Input", "input_tokens"],
  ["Output", "output_tokens"],
];

export function TokensPanel({ snapshot }: { snapshot: Snapshot }) {
  return (
    <Panel title="Tokens" name="tokens" aside={<span class="muted">14 days</span>}>
      <Shown part={snapshot.costs} lines={4}>
        {({ total }) => {
          const all = KINDS.reduce((sum, [, field]) => sum + Number(total[field]), 0);
          if (all === 0) return <Nothing>No tokens were counted yet.</Nothing>;
          return (
            <table class="plain">
              <caption class="hidden">Tokens by kind</caption>
              <tbody>
                {KINDS.map(([name, field]) => {
                  const tokens = Number(total[field]);
                  const width = `${((100 * tokens) / all).toFixed(1)}%`;
                  return (
                    <tr key={field}>
                      <th scope="row">{name}</th>
                      <td class="bar">
                        <span class="track">
                          <span class="fill good" style={{ width }} />
                        </span>
                      </td>
                      <td class="number">{count(tokens)}</td>
                      <td class="number muted">{percent(tokens / all)}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          );
        }}
      </Shown>
    </Panel>
  );
}
