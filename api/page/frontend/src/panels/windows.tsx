import { clock, percent, shortSpan, span, windowName } from "../rules/format.ts";
import { shareTone } from "../rules/serving.ts";
import { type Segment, type WindowBar, windowBars } from "../rules/windows.ts";
import type { Snapshot } from "../state/live.ts";
import { hrefOf } from "../state/place.ts";
import { Panel, Shown } from "../elements/panel.tsx";

const WIDE = 8;

export function WindowsPanel({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  return (
    <Panel
      title="Windows"
      name="windows"
      aside={<span class="muted">used of each subscription</span>}
    >
      <Shown part={snapshot.subscriptions} lines={6}>
        {(subscriptions) => (
          <div class="bars">
            {windowBars(subscriptions, now).map((each) => (
              <Bar key={each.name} bar={each} now={now} />
            ))}
          </div>
        )}
      </Shown>
    </Panel>
  );
}

function Bar({ bar, now }: { bar: WindowBar; now: number }) {
  const dense = bar.segments.length > WIDE;
  const reset =
    bar.nextReset === null
      ? "no reset known"
      : `next reset ${clock(bar.nextReset.at, now)}, ${bar.nextReset.id}`;
  return (
    <div class="window">
      <div class="caption">
        <h3>{windowName(bar.name)}</h3>
        <span class="share">{percent(bar.used)}</span>
        <span class="muted">
          {bar.full > 0 ? `${bar.full} full · ` : ""}
          {reset}
          {bar.left !== null && ` · the last left ${percent(bar.left)} unused`}
        </span>
      </div>
      <ul class={dense ? "segments dense" : "segments"}>
        {bar.segments.map((each) => (
          <SegmentCell key={each.id} segment={each} dense={dense} now={now} />
        ))}
      </ul>
    </div>
  );
}

function SegmentCell({ segment, dense, now }: { segment: Segment; dense: boolean; now: number }) {
  const share = segment.used === null ? 0 : Math.min(segment.used, 1);
  const size = `${(share * 100).toFixed(1)}%`;
  const text = told(segment, now);
  return (
    <li style={{ flexGrow: segment.weight }} class={segment.source}>
      <a href={hrefOf({ kind: "subscription", id: segment.id })} title={text}>
        <span class="track">
          <span
            class={`fill ${shareTone(segment.used)}`}
            style={dense ? { height: size } : { width: size }}
          />
        </span>
        {dense ? (
          <span class="hidden">{text}</span>
        ) : (
          <span class="label">
            <b>{segment.id}</b>
            <span>{segment.rejected ? "full" : percent(segment.used)}</span>
            {segment.resetsAt !== null && <i>↻ {shortSpan(segment.resetsAt - now)}</i>}
          </span>
        )}
      </a>
    </li>
  );
}

function told(segment: Segment, now: number): string {
  const used = segment.rejected
    ? "used up"
    : segment.used === null
      ? "not known"
      : `${percent(segment.used)} used`;
  const resets = segment.resetsAt === null ? "" : `, resets ${clock(segment.resetsAt, now)}`;
  const source =
    segment.source === "local"
      ? "by the pool's own records"
      : `seen ${span((segment.ageSeconds ?? 0) * 1000)} ago`;
  return `${segment.id}: ${used}${resets}; ${source}`;
}
