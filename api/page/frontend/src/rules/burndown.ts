// What is left of the weekly budget, over the last days and the next: at every instant the budget
// less what the seven days before it cost. Old costs leave the week, so that it rises by itself.

export interface Point {
  at: number;
  /** Left, in USD; what was, or null ahead of now. */
  left: number | null;
  /** Left at the present rate; null before now. */
  projected: number | null;
}

export interface Cost {
  at: number;
  usd: number;
}

const HOUR = 3_600_000;
const WEEK = 7 * 24 * HOUR;

export interface Burning {
  budget: number;
  burnPerHour: number;
  /** What is left now, by the pool's own word: exact, where sums of blocks are not. */
  left: number;
}

export function burndown(
  costs: readonly Cost[],
  burning: Burning,
  now: number,
  { back = 3 * 24 * HOUR, ahead = 3 * 24 * HOUR, step = 2 * HOUR } = {},
): Point[] {
  const spent = (from: number, to: number) =>
    costs.reduce((sum, each) => (each.at > from && each.at <= to ? sum + each.usd : sum), 0);
  const points: Point[] = [];
  for (let at = now - back; at < now; at += step) {
    points.push({ at, left: burning.budget - spent(at - WEEK, at), projected: null });
  }
  points.push({ at: now, left: burning.left, projected: burning.left });
  for (let at = now + step; at <= now + ahead; at += step) {
    const freed = spent(now - WEEK, at - WEEK);
    const burned = (burning.burnPerHour * (at - now)) / HOUR;
    points.push({ at, left: null, projected: Math.max(0, burning.left + freed - burned) });
  }
  return points;
}
