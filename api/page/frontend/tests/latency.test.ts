import assert from "node:assert/strict";
import { test } from "node:test";

import { bucketsOf, latencies, quantile } from "../src/rules/latency.ts";

const EXPOSITION = `# TYPE claude_pool_run_seconds histogram
claude_pool_run_seconds_bucket{subscription="ada",le="1.0"} 5.0
claude_pool_run_seconds_bucket{subscription="ada",le="2.0"} 10.0
claude_pool_run_seconds_bucket{subscription="ada",le="+Inf"} 10.0
claude_pool_run_seconds_bucket{le="1.0",subscription="ben"} 5.0
claude_pool_run_seconds_bucket{le="2.0",subscription="ben"} 5.0
claude_pool_run_seconds_bucket{le="+Inf",subscription="ben"} 6.0
claude_pool_run_seconds_count{subscription="ada"} 10.0
claude_pool_dispatch_seconds_bucket{le="+Inf"} 0.0
`;

test("buckets are added over all labels, wherever the bound stands among them", () => {
  assert.deepEqual(bucketsOf(EXPOSITION, "claude_pool_run_seconds"), [
    [1, 10],
    [2, 15],
    [Infinity, 16],
  ]);
});

test("a percentile lies within its bucket, evenly", () => {
  const buckets: [number, number][] = [
    [1, 10],
    [2, 20],
    [Infinity, 20],
  ];

  assert.equal(quantile(buckets, 0.5), 1);
  assert.equal(quantile(buckets, 0.75), 1.5);
});

test("beyond the last bound that bound is said", () => {
  assert.equal(quantile([[1, 1], [Infinity, 10]], 0.99), 1);
});

test("what has not happened yet is left out", () => {
  assert.deepEqual(latencies(EXPOSITION).map((each) => [each.name, each.count]), [["Running", 16]]);
});
