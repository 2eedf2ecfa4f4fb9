import { seconds } from "../rules/format.ts";
import { latencies } from "../rules/latency.ts";
import { useAround, useLoaded, useSnapshot } from "../state/hooks.ts";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

const EVERY_MS = 30_000;

export function LatencyPanel() {
  const { live } = useAround();
  const { since } = useSnapshot();
  const part = useLoaded(`latency ${since}`, async () => latencies(await live.client.text("/metrics")), EVERY_MS);
  if (part.value === null && part.problem?.isAboutKeys) return null;
  return (
    <Panel title="Latency" name="latency" aside={<span class="muted">since the last start</span>}>
      <Shown part={part} lines={4}>
        {(found) =>
          found.length === 0 ? (
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
                {found.map((each) => (
                  <tr key={each.name}>
                    <th scope="row">{each.name}</th>
                    <td class="number">{seconds(each.p50)}</td>
                    <td class="number">{seconds(each.p90)}</td>
                    <td class="number">{seconds(each.p99)}</td>
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
