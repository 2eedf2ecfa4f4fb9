import assert from "node:assert/strict";
import { test } from "node:test";

import { noticesOf } from "../src/rules/attention.ts";
import { at, DAY, HOUR, NOON, pool } from "./made.ts";

test("differences from Anthropic's report follow the pool's own notices for a day", () => {
  const login = { kind: "needs_login", severity: "critical" as const, subjects: ["ada"], text: "needs a login.", advice: "Sign in." };
  const alert = { id: "1", kind: "usage_differs", severity: "warning", subject: "org", message: "differs by $3.", raised_at: at(-HOUR) } as const;
  const known = pool({ attention: [login] });

  assert.deepEqual(noticesOf(known, [alert], NOON).map((each) => each.subjects), [["ada"], ["org"]]);
  assert.deepEqual(noticesOf(known, [alert], NOON + DAY).map((each) => each.kind), ["needs_login"]);
});
