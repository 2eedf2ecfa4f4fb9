import assert from "node:assert/strict";
import { test } from "node:test";

import { windowBars } from "../src/rules/windows.ts";
import { HOUR, NOON, subscription, window } from "./made.ts";

test("a bar has a segment for each subscription, as wide as its plan", () => {
  const ada = subscription("ada", { windows: { five_hour: window(0.5, HOUR) } });
  const ben = subscription("ben", { windows: { five_hour: window(1, 2 * HOUR) }, weight: 3 });

  const [bar] = windowBars([ada, ben], NOON);

  assert.equal(bar?.name, "five_hour");
  assert.deepEqual(bar?.segments.map((each) => [each.id, each.weight, each.used]), [
    ["ada", 1, 0.5],
    ["ben", 3, 1],
  ]);
  assert.equal(bar?.used, (0.5 + 3) / 4);
  assert.equal(bar?.full, 1);
  assert.deepEqual(bar?.nextReset, { at: NOON + HOUR, id: "ada" });
});

test("where Anthropic has said nothing fresh the pool's own figure stands, and says so", () => {
  const stale = subscription("ada", { windows: { five_hour: window(0.9, HOUR, { fresh: false }) }, block_percent: 20 });

  const segment = windowBars([stale], NOON)[0]?.segments[0];

  assert.equal(segment?.used, 0.2);
  assert.equal(segment?.source, "local");
});

test("a rejected window is full, whatever its figure says", () => {
  const ada = subscription("ada", { windows: { five_hour: window(null, HOUR, { status: "rejected" }) } });

  const segment = windowBars([ada], NOON)[0]?.segments[0];

  assert.equal(segment?.used, 1);
  assert.equal(segment?.rejected, true);
});

test("a window nobody knows the figure of is not known, which is not 0", () => {
  const ada = subscription("ada", { windows: { five_hour: window(null, HOUR) } });

  const [bar] = windowBars([ada], NOON);

  assert.equal(bar?.segments[0]?.used, null);
  assert.equal(bar?.used, null);
});

test("families have a bar where somebody has seen them, the overage has none", () => {
  const ada = subscription("ada", {
    windows: { seven_day_opus: window(0.4, HOUR, { models: "opus" }), overage: window(0.4, HOUR) },
  });

  const bars = windowBars([ada, subscription("ben")], NOON);

  assert.deepEqual(bars.map((each) => each.name), ["five_hour", "seven_day", "seven_day_opus"]);
  assert.deepEqual(bars[2]?.segments.map((each) => each.id), ["ada"]);
});
