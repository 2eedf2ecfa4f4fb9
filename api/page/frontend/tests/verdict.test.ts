import assert from "node:assert/strict";
import { test } from "node:test";

import type { Due, Pool, Verdict } from "../src/api/types.ts";
import { said } from "../src/rules/verdict.ts";
import { at, HOUR, judged, MINUTE, NOON, pool, subscription } from "./made.ts";

function due(subscription_id: string, ms: number, by = "weekly_budget"): Due {
  return { subscription_id, at: at(ms), by };
}

function saying(verdict: Partial<Verdict>, more: Partial<Pool> = {}, dryIn: number | null = null) {
  return said(pool({ verdict: judged(verdict), ...more }, dryIn), [subscription("ada"), subscription("ben", { weekly_percent: 61 })], NOON);
}

test("of a pool that lasts, who has used the most is named", () => {
  const found = saying({});

  assert.equal(found.headline, "Safe");
  assert.equal(found.first, "At this rate none runs dry; ben has used the most, 61% of its week.");
  assert.equal(found.relief, null);
  assert.equal(found.burner, null);
});

test("who runs dry first is named, with the time and the limit", () => {
  const { first } = saying({ first_dry: due("ben", 2 * HOUR + 10 * MINUTE, "five_hour") });

  assert.match(first, /^ben runs dry first, in 2 h 10 min \(\S+, five hours\)\.$/);
});

test("a pool that runs dry before any relief says so, and how late the relief is", () => {
  const found = saying({ level: "dry", relief: due("ben", 3 * HOUR, "state") }, {}, 2 * HOUR);

  assert.equal(found.headline, "Runs dry in 2 h");
  assert.match(found.relief ?? "", /^Next relief: ben at \S+, 1 h after the pool has run dry\.$/);
});

test("relief that comes in time says that it does", () => {
  const found = saying({ level: "tight", relief: due("ben", HOUR, "state") }, {}, 2 * HOUR);

  assert.equal(found.headline, "Tight");
  assert.match(found.relief ?? "", /in time\.$/);
});

test("a pool in which nobody takes work is dry until somebody does", () => {
  const found = saying({ level: "dry", serving: 0, relief: due("ada", 4 * MINUTE, "state") }, {}, 0);

  assert.match(found.headline, /^Dry until \d\d:\d\d$/);
  assert.equal(found.first, "No subscription takes work now.");
});

test("a pool in which all were paused says that the clock alone mends nothing", () => {
  const found = saying({ level: "dry", serving: 0 }, {}, 0);

  assert.equal(found.headline, "Dry");
  assert.equal(found.relief, "Nothing comes back by the clock alone.");
});

test("who burns most is named with its share", () => {
  const burner = { subscription_id: "ada", usd_per_hour: 3, share: 0.75 };

  assert.equal(saying({ burner }).burner, "ada burns most: $3.00 an hour, 75% of all.");
});

test("an empty pool gives no verdict, and those that come up are waited for", () => {
  assert.equal(saying({ level: "empty" }).first, "There is no subscription yet.");
  assert.equal(saying({ level: "empty" }, { unheard: ["a", "b"] }).first, "2 subscriptions still coming up.");
});
