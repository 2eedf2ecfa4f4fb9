import type { ComponentChildren } from "preact";

import { percent } from "../rules/format.ts";
import { shareTone } from "../rules/serving.ts";

interface MeterProps {
  share: number | null;
  source: string;
  label: string;
  note?: ComponentChildren;
}

/** A used share as a figure and a bar; fainter where it is the pool's own word, not Anthropic's. */
export function Meter({ share, source, label, note }: MeterProps) {
  const width = `${(Math.min(Math.max(share ?? 0, 0), 1) * 100).toFixed(1)}%`;
  return (
    <div class={`meter ${source}`} title={source === "local" ? "By the pool's own records" : "As Anthropic says"}>
      <span class="share">{percent(share)}</span>
      <span class="track" role="img" aria-label={`${label}: ${percent(share)}, ${source}`}>
        <span class={`fill ${shareTone(share)}`} style={{ width }} />
      </span>
      {note !== undefined && <span class="note">{note}</span>}
    </div>
  );
}
