import assert from "node:assert/strict";
import { test } from "node:test";

import type { UsageRow } from "../src/api/types.ts";
import { stacked, steps, trendOf, wholeDays } from "../src/rules/costs.ts";
import { DAY, HOUR, NOON } from "./made.ts";

const MIDNIGHT = NOON - 12 * HOUR;

function row(more: Partial<UsageRow>): UsageRow {
  return {
    cost_usd: 1,
    input_tokens: 0,
    output_tokens: 0,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    ...more,
  };
}

test("blocks begin every five hours, and anew each midnight", () => {
  const hours = steps("block", MIDNIGHT, MIDNIGHT + DAY + HOUR).map((each) => (each - MIDNIGHT) / HOUR);

  assert.deepEqual(hours, [0, 5, 10, 15, 20, 24]);
});

test("a range of whole days ends with the day that is on", () => {
  assert.deepEqual(wholeDays(2, NOON), { since: "2026-01-27T00:00:00.000Z", until: "2026-01-29T00:00:00.000Z" });
});

test("the largest stand by name, the others as one, and nothing is lost", () => {
  const rows = Array.from({ length: 9 }, (_, index) =>
    row({ day: "2026-01-28", subscription: `s${index}`, cost_usd: index + 1 }),
  );

  const costs = stacked(rows, "day", "subscription", [MIDNIGHT - DAY, MIDNIGHT], 3);

  assert.deepEqual(costs.series.map((each) => [each.name, each.total]), [
    ["s8", 9],
    ["s7", 8],
    ["s6", 7],
    ["6 others", 21],
  ]);
  assert.equal(costs.total, 45);
  assert.deepEqual(costs.series[0]?.values, [0, 9]);
});

test("what is known by block is told by day too", () => {
  const rows = [0, 20].map((hour) => row({ block: new Date(MIDNIGHT + hour * HOUR).toISOString(), subscription: "ada" }));

  assert.deepEqual(stacked(rows, "day", "subscription", [MIDNIGHT - DAY, MIDNIGHT]).series[0]?.values, [0, 2]);
});

test("one more than fits by name stands by name, for others would be longer", () => {
  const rows = ["a", "b", "c"].map((key) => row({ day: "2026-01-28", key }));

  assert.deepEqual(stacked(rows, "day", "key", [MIDNIGHT], 2).series.map((each) => each.name), ["a", "b", "c"]);
});

test("a cost that names no key is shown as such", () => {
  assert.equal(stacked([row({ day: "2026-01-28", key: null })], "day", "key", [MIDNIGHT]).series[0]?.name, "not named");
});

test("a trend has every block, also those without cost, and of one subscription alone", () => {
  const block = new Date(MIDNIGHT + 5 * HOUR).toISOString();
  const rows = [row({ block, subscription: "ada", cost_usd: 2 }), row({ block, subscription: "ben" })];

  assert.deepEqual(trendOf(rows, "ada", steps("block", MIDNIGHT, NOON)), [0, 2, 0]);
});

test("costs are told by a tag of the configuration too", () => {
  const rows = ["search", null].map((project) => row({ day: "2026-01-28", tags: { project } }));

  assert.deepEqual(stacked(rows, "day", "tag:project", [MIDNIGHT]).series.map((each) => each.name), ["not named", "search"]);
});
