// Anthropic's windows, and the pool's own figures where no window was seen, as segmented bars.

import type { Subscription } from "../api/types.ts";
import { instant } from "./verdict.ts";

export interface Segment {
  id: string;
  /** The plan's size: how much of the bar is this subscription's. */
  weight: number;
  /** The used share, 0 to 1; null where nobody knows. */
  used: number | null;
  resetsAt: number | null;
  source: "window" | "local";
  ageSeconds: number | null;
  rejected: boolean;
}

export interface WindowBar {
  name: string;
  segments: Segment[];
  /** The used share of all that is known, by weight. */
  used: number | null;
  full: number;
  nextReset: { at: number; id: string } | null;
  /** The share that was left unused at the last resets, by weight; null where nobody knows. */
  left: number | null;
}

const ALWAYS = ["five_hour", "seven_day"];

export function windowBars(subscriptions: readonly Subscription[], now: number): WindowBar[] {
  const names = new Set(ALWAYS);
  for (const each of subscriptions) {
    for (const [name, window] of Object.entries(each.windows)) {
      if (name !== "overage" && window.fresh) names.add(name);
    }
  }
  const order = [...names].sort(
    (a, b) => rank(a) - rank(b) || a.localeCompare(b),
  );
  return order.map((name) => bar(name, subscriptions, now));
}

function rank(name: string): number {
  const at = ALWAYS.indexOf(name);
  return at < 0 ? ALWAYS.length : at;
}

function bar(name: string, subscriptions: readonly Subscription[], now: number): WindowBar {
  const segments = subscriptions
    .map((each) => segment(name, each, now))
    .filter((each) => each !== null);
  const known = segments.filter((each) => each.used !== null);
  const weight = known.reduce((sum, each) => sum + each.weight, 0);
  const used = known.reduce((sum, each) => sum + each.weight * Math.min(each.used ?? 0, 1), 0);
  let nextReset: WindowBar["nextReset"] = null;
  for (const each of segments) {
    if (each.resetsAt !== null && (nextReset === null || each.resetsAt < nextReset.at)) {
      nextReset = { at: each.resetsAt, id: each.id };
    }
  }
  const full = segments.filter((each) => each.rejected || (each.used ?? 0) >= 0.995).length;
  return { name, segments, used: weight ? used / weight : null, full, nextReset, left: leftOf(name, subscriptions) };
}

function leftOf(name: string, subscriptions: readonly Subscription[]): number | null {
  let weight = 0;
  let left = 0;
  for (const each of subscriptions) {
    const past = each.forecast.windows[name]?.past ?? null;
    if (past === null) continue;
    weight += each.weight;
    left += (each.weight * past.unused_percent) / 100;
  }
  return weight ? left / weight : null;
}

function segment(name: string, of: Subscription, now: number): Segment | null {
  const window = of.windows[name];
  if (window?.fresh) {
    const resets = instant(window.resets_at);
    const rejected = window.status === "rejected";
    // What was spent since it was seen is known to the forecast, where it knows the price.
    const share = (of.forecast.windows[name]?.percent ?? null) as number | null;
    return {
      id: of.id,
      weight: of.weight,
      used: rejected ? 1 : share === null ? window.utilization : share / 100,
      resetsAt: resets !== null && resets > now ? resets : null,
      source: "window",
      ageSeconds: window.age_seconds,
      rejected,
    };
  }
  if (!ALWAYS.includes(name)) return null;
  const block = name === "five_hour";
  return {
    id: of.id,
    weight: of.weight,
    used: (block ? of.block_percent : of.weekly_percent) / 100,
    resetsAt: block ? Date.parse(of.current_block.ends_at) : null,
    source: "local",
    ageSeconds: null,
    rejected: false,
  };
}
