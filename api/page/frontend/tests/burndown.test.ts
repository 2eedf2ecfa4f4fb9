import assert from "node:assert/strict";
import { test } from "node:test";

import { burndown } from "../src/rules/burndown.ts";
import { DAY, HOUR, NOON } from "./made.ts";

const WEEK = 7 * DAY;
const BURNING = { budget: 100, burnPerHour: 0, left: 90 };

test("what is left is the budget less the seven days before each instant", () => {
  const costs = [{ at: NOON - DAY, usd: 10 }];

  const points = burndown(costs, BURNING, NOON, { back: 2 * DAY, ahead: DAY, step: DAY });

  assert.deepEqual(points.map((each) => each.left), [100, 90, 90, null]);
});

test("the projection begins where the past ends", () => {
  const now = burndown([], BURNING, NOON).find((each) => each.at === NOON);

  assert.deepEqual([now?.left, now?.projected], [90, 90]);
});

test("burning takes away, old costs that leave the week give back, and below nothing is nothing", () => {
  const costs = [{ at: NOON - WEEK + 12 * HOUR, usd: 30 }];
  const burning = { budget: 100, burnPerHour: 2.5, left: 40 };

  const points = burndown(costs, burning, NOON, { back: DAY, ahead: 3 * DAY, step: DAY });

  assert.deepEqual(points.slice(-3).map((each) => each.projected), [40 + 30 - 60, 0, 0]);
});
