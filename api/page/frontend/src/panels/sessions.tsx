import { shortId, span, words } from "../rules/format.ts";
import type { Snapshot } from "../state/live.ts";
import { hrefOf } from "../state/place.ts";
import { Nothing, Panel, Shown } from "../elements/panel.tsx";

export function SessionsPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  return (
    <Panel title="Sessions" name="sessions" aside={<span class="muted">used last</span>}>
      <Shown part={snapshot.sessions} lines={4}>
        {(sessions) =>
          sessions.length === 0 ? (
            <Nothing>No conversation was begun yet.</Nothing>
          ) : (
            <table class="plain">
              <caption class="hidden">Sessions, those used last first</caption>
              <tbody>
                {sessions.map((each) => (
                  <tr key={each.id}>
                    <th scope="row">
                      <code title={each.id}>{shortId(each.id)}</code>
                    </th>
                    <td>
                      <a href={hrefOf({ kind: "subscription", id: each.subscription_id })}>{each.subscription_id}</a>
                    </td>
                    <td class="muted">{words(each.state)}</td>
                    <td class="number muted">{span(now - Date.parse(each.last_used_at))}</td>
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
