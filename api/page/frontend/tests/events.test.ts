import assert from "node:assert/strict";
import { test } from "node:test";

import { EventParser } from "../src/api/events.ts";

const TEXT = ': hello\n\nid: a-1\nevent: alert\ndata: {"kind":"alert"}\n\nid: a-2\ndata: one\ndata: two\n\n';

test("events come out whole, however their text is cut", () => {
  const whole = new EventParser().feed(TEXT);
  const parser = new EventParser();
  const pieces = [...TEXT].flatMap((each) => parser.feed(each));

  assert.deepEqual(pieces, whole);
  assert.deepEqual(whole, [
    { id: "a-1", event: "alert", data: '{"kind":"alert"}' },
    { id: "a-2", event: "message", data: "one\ntwo" },
  ]);
});

test("lines may end as on other systems", () => {
  assert.equal(new EventParser().feed(TEXT.replaceAll("\n", "\r\n")).length, 2);
});
