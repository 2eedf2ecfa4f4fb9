import type { Latency } from "../api/types.ts";
import { seconds } from "../rules/format.ts";
import type { Snapshot } from "../state/live.ts";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

const STEPS: Record<Latency["step"], string> = { dispatch: "Routing", queue_wait: "Waiting", run: "Running" };

export function LatencyPanel({ snapshot }: { snapshot: Snapshot }) {
  if (snapshot.pool.value === null && snapshot.pool.problem?.isAboutKeys) return null;
  return (
    <Panel title="Latency" name="latency" aside={<span class="muted">since the last start</span>}>
      <Shown part={snapshot.pool} lines={4}>
        {({ latency }) =>
          latency.length === 0 ? (
            <Nothing>Nothing has run since the last start.</Nothing>
          ) : (
            <table class="plain">
              <thead>
                <tr>
                  <th scope="col">
                    <span class="hidden">Step</span>
                  </th>
                  <th scope="col" class="number">
                    p50
                  </th>
                  <th scope="col" class="number">
                    p90
                  </th>
                  <th scope="col" class="number">
                    p99
                  </th>
                </tr>
              </thead>
              <tbody>
                {latency.map((each) => (
                  <tr key={each.step}>
                    <th scope="row">{STEPS[each.step]}</th>
                    <td class="number">{seconds(each.p50_seconds)}</td>
                    <td class="number">{seconds(each.p90_seconds)}</td>
                    <td class="number">{seconds(each.p99_seconds)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Shown>
    </Panel>
  );
}
