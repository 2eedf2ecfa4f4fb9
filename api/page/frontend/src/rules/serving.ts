// Which subscriptions take work, and how states are called.

import type { Subscription, SubscriptionState } from "../api/types.ts";

export type Tone = "good" | "warn" | "bad" | "rest";

export function serves(each: Subscription): boolean {
  return each.state === "available" || each.state === "approaching";
}

const STATES: Record<SubscriptionState, [string, Tone]> = {
  available: ["Available", "good"],
  approaching: ["Approaching", "warn"],
  limited: ["Limited", "bad"],
  cooldown: ["Cooling down", "warn"],
  paused: ["Paused", "rest"],
  draining: ["Draining", "rest"],
  needs_login: ["Needs login", "bad"],
};

export function stateName(state: SubscriptionState): string {
  return STATES[state]?.[0] ?? state;
}

export function stateTone(state: SubscriptionState): Tone {
  return STATES[state]?.[1] ?? "rest";
}

/** How a share of a limit is to be looked at. */
export function shareTone(share: number | null): Tone {
  if (share === null) return "rest";
  if (share >= 0.95) return "bad";
  return share >= 0.8 ? "warn" : "good";
}

const RANK: Record<Tone, number> = { bad: 0, warn: 1, good: 2, rest: 3 };

/** The most urgent first: in need, then those that run dry soonest, then the busiest. */
export function byUrgency(left: Subscription, right: Subscription): number {
  const dry = (each: Subscription) =>
    each.forecast.exhausted_at === null ? Infinity : Date.parse(each.forecast.exhausted_at);
  return (
    RANK[stateTone(left.state)] - RANK[stateTone(right.state)] ||
    (dry(left) === dry(right) ? 0 : dry(left) - dry(right)) ||
    right.weekly_percent - left.weekly_percent ||
    left.id.localeCompare(right.id)
  );
}
