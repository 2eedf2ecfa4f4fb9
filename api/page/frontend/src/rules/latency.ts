// Percentiles out of Prometheus histograms, as /metrics tells them.

export interface Latency {
  name: string;
  count: number;
  p50: number;
  p90: number;
  p99: number;
}

const SHOWN: [string, string][] = [
  ["claude_pool_dispatch_seconds", "Routing"],
  ["claude_pool_queue_wait_seconds", "Waiting"],
  ["claude_pool_run_seconds", "Running"],
];

export function latencies(exposition: string): Latency[] {
  const found: Latency[] = [];
  for (const [metric, name] of SHOWN) {
    const buckets = bucketsOf(exposition, metric);
    const count = buckets.at(-1)?.[1] ?? 0;
    if (count > 0) {
      const at = (share: number) => quantile(buckets, share);
      found.push({ name, count, p50: at(0.5), p90: at(0.9), p99: at(0.99) });
    }
  }
  return found;
}

/** The bounds and cumulated counts of a histogram, over all labels. */
export function bucketsOf(exposition: string, metric: string): [number, number][] {
  const sums = new Map<number, number>();
  for (const line of exposition.split("\n")) {
    if (!line.startsWith(`${metric}_bucket{`)) continue;
    const bound = /[{,]le="([^"]+)"/.exec(line)?.[1];
    const value = Number(line.slice(line.lastIndexOf("}") + 1).trim().split(" ")[0]);
    if (bound === undefined || Number.isNaN(value)) continue;
    const le = bound === "+Inf" ? Infinity : Number(bound);
    sums.set(le, (sums.get(le) ?? 0) + value);
  }
  return [...sums].sort((a, b) => a[0] - b[0]);
}

/** Within its bucket a share is taken to be spread evenly; beyond the last bound it is that. */
export function quantile(buckets: readonly [number, number][], share: number): number {
  const count = buckets.at(-1)?.[1] ?? 0;
  const wanted = share * count;
  let [below, lower] = [0, 0];
  for (const [bound, cumulated] of buckets) {
    if (cumulated >= wanted) {
      if (bound === Infinity) return lower;
      const inside = cumulated - below;
      return inside === 0 ? bound : lower + ((bound - lower) * (wanted - below)) / inside;
    }
    [below, lower] = [cumulated, bound];
  }
  return lower;
}
