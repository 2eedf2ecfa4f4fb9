// Costs over time as stacked series: the largest few by name, all others in one.

import type { UsageRow } from "../api/types.ts";

export type By = "subscription" | "model" | "key" | `tag:${string}`;
export type Step = "block" | "day";

export interface Series {
  name: string;
  total: number;
  values: number[];
}

export interface Costs {
  /** When each step begins, in ms, without gaps. */
  starts: number[];
  series: Series[];
  total: number;
}

export const MOST_SERIES = 5;
export const OTHERS = "others";
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The steps of the pool's calendar from `since` on; blocks begin at 0, 5, 10, 15 and 20 o'clock. */
export function steps(step: Step, since: number, until: number): number[] {
  const found: number[] = [];
  for (let day = since - (since % DAY); day < until; day += DAY) {
    const starts = step === "day" ? [0] : [0, 5, 10, 15, 20];
    for (const hour of starts) {
      const at = day + hour * HOUR;
      if (at >= since && at < until) found.push(at);
    }
  }
  return found;
}

/** The totals of blocks are kept whole: a range of them begins and ends with a day. */
export function wholeDays(days: number, now: number): { since: string; until: string } {
  const midnight = now - (now % DAY);
  return {
    since: new Date(midnight - (days - 1) * DAY).toISOString(),
    until: new Date(midnight + DAY).toISOString(),
  };
}

/** A block lies within a day: what is known by block is known by day. */
export function startOf(row: UsageRow, step: Step): number {
  const text = step === "day" ? (row.day ?? row.block?.slice(0, 10)) : row.block;
  return Date.parse(text ?? "");
}

function partOf(row: UsageRow, by: By): string | null | undefined {
  return isTag(by) ? row.tags?.[by.slice(TAG.length)] : row[by];
}

const TAG = "tag:";

function isTag(by: By): by is `tag:${string}` {
  return by.startsWith(TAG);
}

export function stacked(
  rows: readonly UsageRow[],
  step: Step,
  by: By,
  starts: readonly number[],
  most = MOST_SERIES,
): Costs {
  const at = new Map(starts.map((each, index) => [each, index]));
  const sums = new Map<string, Series>();
  for (const row of rows) {
    const index = at.get(startOf(row, step));
    if (index === undefined) continue;
    const name = partOf(row, by) ?? "not named";
    const known = sums.get(name) ?? { name, total: 0, values: starts.map(() => 0) };
    known.values[index] = (known.values[index] ?? 0) + row.cost_usd;
    known.total += row.cost_usd;
    sums.set(name, known);
  }
  const sorted = [...sums.values()].sort((a, b) => b.total - a.total || a.name.localeCompare(b.name));
  const shown = sorted.slice(0, sorted.length > most + 1 ? most : most + 1);
  const rest = sorted.slice(shown.length);
  if (rest.length) {
    shown.push({
      name: `${rest.length} ${OTHERS}`,
      total: rest.reduce((sum, each) => sum + each.total, 0),
      values: starts.map((_, index) => rest.reduce((sum, each) => sum + (each.values[index] ?? 0), 0)),
    });
  }
  const total = sorted.reduce((sum, each) => sum + each.total, 0);
  return { starts: [...starts], series: shown, total };
}

/** What one subscription has cost, step by step. */
export function trendOf(rows: readonly UsageRow[], id: string, starts: readonly number[]): number[] {
  const values = starts.map(() => 0);
  const at = new Map(starts.map((each, index) => [each, index]));
  for (const row of rows) {
    const index = row.subscription === id ? at.get(startOf(row, "block")) : undefined;
    if (index !== undefined) values[index] = (values[index] ?? 0) + row.cost_usd;
  }
  return values;
}
