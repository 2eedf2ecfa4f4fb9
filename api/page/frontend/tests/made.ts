// Values of the API that name only what matters.

import type { Pool, Subscription, Verdict, Window } from "../src/api/types.ts";

export const NOON = Date.parse("2026-01-28T12:00:00.000Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export function at(ms: number): string {
  return new Date(NOON + ms).toISOString();
}

export function subscription(id: string, more: Partial<Subscription> = {}): Subscription {
  return {
    id,
    email: null,
    kind: "max",
    state: "available",
    state_reason: "",
    state_until: null,
    presence: "awake",
    node: null,
    cooldown_cause: null,
    unproved: null,
    login_expires_at: null,
    refused_models: [],
    current_block: { id: at(-2 * HOUR), starts_at: at(-2 * HOUR), ends_at: at(3 * HOUR), cost_usd: 5, percent: 20 },
    weekly: { used_usd: 100, reserved_usd: 0, budget_usd: 400, percent: 25 },
    expected_block_usd: 25,
    windows: {},
    weekly_percent: 25,
    weekly_source: "local",
    block_percent: 20,
    block_source: "local",
    health: { score: 80, components: [] },
    burn_rate_usd_per_hour: 0,
    forecast: { projected_block_usd: 5, exhausted_at: null, exhausted_by: null, windows: {} },
    running: 0,
    queued: 0,
    waiting_for_caller: 0,
    uncertain: 0,
    uncertain_usd: 0,
    max_concurrent: 5,
    capacity: 5,
    max_queued: 50,
    weight: 1,
    tier: 1,
    reserve_percent: 0,
    allow_overage: false,
    last_request_at: null,
    totals: {
      executions: 0,
      records: 0,
      usage: {
        cost_usd: 0,
        input_tokens: 0,
        output_tokens: 0,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        models: {},
      },
    },
    observed_at: at(0),
    ...more,
  };
}

export function judged(more: Partial<Verdict> = {}): Verdict {
  return { level: "safe", serving: 1, first_dry: null, relief: null, burner: null, ...more };
}

export function window(utilization: number | null, resetsIn: number, more: Partial<Window> = {}): Window {
  return {
    utilization,
    resets_at: at(resetsIn),
    status: "allowed",
    models: null,
    source: "rate_limit_event",
    observed_at: at(-MINUTE),
    age_seconds: 60,
    fresh: true,
    ...more,
  };
}

export function pool(more: Partial<Pool> = {}, dryInMs: number | null = null): Pool {
  return {
    subscriptions: 1,
    unheard: [],
    block_cost_usd: 5,
    weekly_used_usd: 100,
    weekly_reserved_usd: 0,
    weekly_budget_usd: 400,
    total_cost_usd: 1000,
    executions: 10,
    running: 0,
    queued: 0,
    uncertain: 0,
    uncertain_usd: 0,
    forecast: {
      burn_rate_usd_per_hour: 0,
      projected_block_usd: 5,
      weekly_headroom_usd: 300,
      exhausted_at: null,
      dry_at: dryInMs === null ? null : at(dryInMs),
    },
    verdict: judged(),
    attention: [],
    latency: [],
    observed_at: at(0),
    ...more,
  };
}
