// The pool's verdict in words: a headline, and the sentences that a reader needs first.

import type { Pool, Subscription, Verdict } from "../api/types.ts";
import { clock, dollars, percent, plural, span, windowName } from "./format.ts";
import { serves } from "./serving.ts";

export interface Said {
  headline: string;
  /** Which subscription runs dry first, and when. */
  first: string;
  /** The next relief, and whether it comes in time. */
  relief: string | null;
  /** Who burns most. */
  burner: string | null;
}

export function said(pool: Pool, subscriptions: readonly Subscription[], now: number): Said {
  const { verdict } = pool;
  if (verdict.level === "empty") {
    const first = pool.unheard.length
      ? `${plural(pool.unheard.length, "subscription")} still coming up.`
      : "There is no subscription yet.";
    return { headline: "Nothing here yet", first, relief: null, burner: null };
  }
  const dryAt = instant(pool.forecast.dry_at);
  return {
    headline: headlineOf(verdict, dryAt, now),
    first: verdict.serving === 0 ? "No subscription takes work now." : firstOf(verdict, subscriptions, now),
    relief: reliefOf(verdict, dryAt, now),
    burner: burnerOf(verdict, subscriptions.length),
  };
}

function headlineOf(verdict: Verdict, dryAt: number | null, now: number): string {
  if (verdict.level !== "dry") return verdict.level === "tight" ? "Tight" : "Safe";
  if (verdict.serving > 0 && dryAt !== null) return `Runs dry in ${span(dryAt - now)}`;
  return verdict.relief === null ? "Dry" : `Dry until ${clock(verdict.relief.at, now)}`;
}

function firstOf({ first_dry }: Verdict, subscriptions: readonly Subscription[], now: number): string {
  if (first_dry === null) return mostUsed(subscriptions.filter(serves));
  const { subscription_id: id, at, by } = first_dry;
  const limit = windowName(by).toLowerCase();
  const left = Date.parse(at) - now;
  if (left <= 0) return `${id} has run dry (${limit}).`;
  return `${id} runs dry first, in ${span(left)} (${clock(at, now)}, ${limit}).`;
}

function mostUsed(serving: readonly Subscription[]): string {
  const none = "At this rate none runs dry";
  if (serving.length === 0) return `${none}.`;
  const most = serving.reduce((a, b) => (b.weekly_percent > a.weekly_percent ? b : a));
  return `${none}; ${most.id} has used the most, ${percent(most.weekly_percent / 100)} of its week.`;
}

function reliefOf({ relief, serving }: Verdict, dryAt: number | null, now: number): string | null {
  if (relief === null) return serving === 0 ? "Nothing comes back by the clock alone." : null;
  const text = `Next relief: ${relief.subscription_id} at ${clock(relief.at, now)}`;
  const at = Date.parse(relief.at);
  if (dryAt === null || serving === 0) return `${text}, in ${span(at - now)}.`;
  return at <= dryAt ? `${text}, in time.` : `${text}, ${span(at - dryAt)} after the pool has run dry.`;
}

function burnerOf({ burner }: Verdict, subscriptions: number): string | null {
  if (burner === null) return null;
  const rate = dollars(burner.usd_per_hour);
  return subscriptions === 1
    ? `${burner.subscription_id} burns ${rate} an hour.`
    : `${burner.subscription_id} burns most: ${rate} an hour, ${percent(burner.share)} of all.`;
}

export function instant(text: string | null): number | null {
  return text === null ? null : Date.parse(text);
}
