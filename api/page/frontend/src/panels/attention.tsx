import { useState } from "preact/hooks";

import type { Notice } from "../api/types.ts";
import { noticesOf } from "../rules/attention.ts";
import type { Snapshot } from "../state/live.ts";
import { hrefOf } from "../state/place.ts";
import { Panel } from "../elements/panel.tsx";

const FIRST = 4;
const MOST_NAMES = 5;

export function AttentionPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const [all, setAll] = useState(false);
  const pool = snapshot.pool.value;
  const subscriptions = snapshot.subscriptions.value;
  if (pool === null || subscriptions === null) return null;
  const notices = noticesOf(pool, snapshot.alerts.value ?? [], now);
  if (notices.length === 0) return null;
  const known = new Set(subscriptions.map((each) => each.id));
  const shown = all ? notices : notices.slice(0, FIRST);
  return (
    <Panel title="Needs attention" name="attention" aside={<span class="count">{notices.length}</span>}>
      <ul class="notices">
        {shown.map((each) => (
          <Line key={`${each.kind} ${each.subjects[0]} ${each.text}`} notice={each} known={known} />
        ))}
      </ul>
      {notices.length > FIRST && (
        <button type="button" class="quiet more" onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${notices.length}`}
        </button>
      )}
    </Panel>
  );
}

function Line({ notice, known }: { notice: Notice; known: ReadonlySet<string> }) {
  const named = notice.subjects.slice(0, MOST_NAMES);
  const more = notice.subjects.length - named.length;
  return (
    <li class={notice.severity === "critical" ? "bad" : "warn"}>
      <i aria-hidden="true">!</i>
      <span class="what">
        {named.map((each, index) => (
          <>
            {index > 0 && ", "}
            {known.has(each) ? (
              <a href={hrefOf({ kind: "subscription", id: each })}>{each}</a>
            ) : (
              <b>{each}</b>
            )}
          </>
        ))}
        {more > 0 && ` and ${more} more`} {notice.text}
      </span>
      <span class="muted">{notice.advice}</span>
    </li>
  );
}
