import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, count, dollars, percent, seconds, shortId, span, windowName } from "../src/rules/format.ts";
import { DAY, HOUR, MINUTE } from "./made.ts";

test("money has as many digits as say something", () => {
  const told = [0, 0.0006, 0.00001, 1.5, 12.345, 1234.5, 21_100].map(dollars);

  assert.deepEqual(told, ["$0.00", "$0.0006", "<$0.0001", "$1.50", "$12.35", "$1,235", "$21.1k"]);
});

test("spans are told in their two largest units", () => {
  const told = [40_000, 5 * MINUTE, 2 * HOUR + 10 * MINUTE, 3 * HOUR, 3 * DAY + 4 * HOUR, -1].map(span);

  assert.deepEqual(told, ["40 s", "5 min", "2 h 10 min", "3 h", "3 d 4 h", "0 s"]);
});

test("a share that is not known is not 0, and a little is not nothing", () => {
  assert.deepEqual([null, 0, 0.004, 0.5, 1.11].map(percent), ["–", "0%", "<1%", "50%", "111%"]);
});

test("windows have names for people", () => {
  const told = ["five_hour", "seven_day", "seven_day_opus", "weekly_budget", "new_limit"].map(windowName);

  assert.deepEqual(told, ["Five hours", "Week", "Week, Opus", "weekly budget", "New limit"]);
});

test("times of today are times, others have their day", () => {
  const now = new Date(2026, 0, 28, 12).getTime();

  assert.equal(clock(now + HOUR, now), "13:00");
  assert.equal(clock(now + DAY, now), "Thu 12:00");
  assert.equal(clock(now + 20 * DAY, now), "17 Feb 12:00");
});

test("counts, seconds and ids are short", () => {
  assert.deepEqual([950, 38_000, 1_600_000, 2.2e10].map(count), ["950", "38k", "1.6M", "22.0B"]);
  assert.deepEqual([0.02, 4.25, 44, 90].map(seconds), ["20 ms", "4.3 s", "44 s", "1 min"]);
  assert.equal(shortId("0b3c0004-4256-459f-9794-14ea9ca80004"), "…9ca80004");
});
