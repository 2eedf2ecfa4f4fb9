// What somebody should look at: the pool's own notices, and what its comparison with Anthropic's
// report has found since yesterday.

import type { Alert, Notice, Pool } from "../api/types.ts";

const DAY = 86_400_000;

export function noticesOf(pool: Pool, alerts: readonly Alert[], now: number): Notice[] {
  const differs = alerts.filter((each) => each.kind === "usage_differs" && now - Date.parse(each.raised_at) < DAY);
  return [
    ...pool.attention,
    ...differs.map((each): Notice => ({
      kind: each.kind,
      severity: "warning",
      subjects: [each.subject],
      text: each.message,
      advice: "Compare under /v1/reconciliations.",
    })),
  ];
}
