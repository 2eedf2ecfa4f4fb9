// What the page knows of the pool, kept up by events: an event says that something has changed, and
// what has is read again. Every part has its own value and its own problem, so that a caller who
// may not see one sees the others.

import { type Client, Problem } from "../api/client.ts";
import { follow } from "../api/events.ts";
import type {
  Alert,
  Execution,
  OwnUsage,
  PageOf,
  Pool,
  PoolEvent,
  Session,
  Subscription,
  UsageBreakdown,
} from "../api/types.ts";
import { UsageReader } from "../api/usage.ts";
import { wholeDays } from "../rules/costs.ts";
import { Refresher } from "./refresher.ts";

export interface Part<T> {
  value: T | null;
  problem: Problem | null;
}

export interface ExecutionFilter {
  status: string;
  subscription_id: string;
}

export type Connection = "connecting" | "live" | "lost";

export interface Snapshot {
  connection: Connection;
  /** When the connection was lost, or found again. */
  since: number;
  wasLost: boolean;
  /** How often the connection was found again: what is read then is read anew. */
  returns: number;
  needsKey: Problem | null;
  /** The pool's clock, less the browser's, in ms. */
  skew: number;
  pool: Part<Pool>;
  subscriptions: Part<Subscription[]>;
  executions: Part<Execution[]>;
  older: string | null;
  filter: ExecutionFilter;
  sessions: Part<Session[]>;
  alerts: Part<Alert[]>;
  /** Of the last fortnight, by block. */
  costs: Part<UsageBreakdown>;
  /** Of the last eight days, by block and subscription. */
  trends: Part<UsageBreakdown>;
  /** Of the caller's own tenant; read where the pool as a whole is not for them. */
  own: Part<OwnUsage>;
  /** Grows with every usage that was recorded. */
  recorded: number;
}

const NOTHING = { value: null, problem: null };
const PAGE = 20;
const POLL_MS = 15_000;
const DAYS_BACK = 14;
export const TREND_DAYS = 8;

function beginning(): Snapshot {
  return {
    connection: "connecting",
    since: Date.now(),
    wasLost: false,
    returns: 0,
    needsKey: null,
    skew: 0,
    pool: NOTHING,
    subscriptions: NOTHING,
    executions: NOTHING,
    older: null,
    filter: { status: "", subscription_id: "" },
    sessions: NOTHING,
    alerts: NOTHING,
    costs: NOTHING,
    trends: NOTHING,
    own: NOTHING,
    recorded: 0,
  };
}

export class Live {
  snapshot: Snapshot = beginning();
  private readonly listeners = new Set<() => void>();
  private following = new AbortController();
  private poll: ReturnType<typeof setInterval> | undefined;
  private shown = PAGE;
  private hasEvents = true;
  readonly client: Client;
  usage: UsageReader;

  private readonly reports = new Refresher(() => this.readReports(), 700);
  private readonly executions = new Refresher(() => this.readExecutions(), 400);
  private readonly sessions = new Refresher(() => this.readSessions(), 3_000);
  private readonly alerts = new Refresher(() => this.readAlerts(), 3_000);
  private readonly costs = new Refresher(() => this.readCosts(), 5_000);
  private readonly trends = new Refresher(() => this.readTrends(), 30_000);
  private readonly own = new Refresher(() => this.readOwn(), 3_000);
  private readonly all = [
    this.own,
    this.reports,
    this.executions,
    this.sessions,
    this.alerts,
    this.costs,
    this.trends,
  ];

  constructor(client: Client) {
    this.client = client;
    this.usage = new UsageReader(client);
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Begin, or begin anew with another key. */
  start(): void {
    this.stop();
    this.shown = PAGE;
    this.hasEvents = true;
    this.usage = new UsageReader(this.client);
    this.set(beginning());
    this.following = new AbortController();
    void follow(
      this.client,
      {
        opened: () => this.opened(),
        happened: (event) => this.happened(event),
        lost: (problem) => this.lost(problem),
      },
      this.following.signal,
    );
    for (const each of [this.reports, this.executions, this.sessions, this.alerts]) each.wanted();
    this.poll = setInterval(() => {
      if (document.hidden) return;
      if (this.hasEvents) this.reports.wanted();
      else this.refresh();
    }, POLL_MS);
  }

  stop(): void {
    this.following.abort();
    clearInterval(this.poll);
    for (const each of this.all) each.stop();
  }

  /** Read everything again. */
  refresh(): void {
    for (const each of this.all) each.wanted();
  }

  filter(filter: ExecutionFilter): void {
    this.shown = PAGE;
    this.set({ filter, executions: NOTHING, older: null });
    this.executions.wanted();
  }

  more(): void {
    this.shown = Math.min(this.shown + PAGE, 200);
    this.executions.wanted();
  }

  private opened(): void {
    const wasLost = this.snapshot.connection === "lost";
    const returns = this.snapshot.returns + (wasLost ? 1 : 0);
    this.set({ connection: "live", since: Date.now(), wasLost, returns });
    if (wasLost) this.refresh();
  }

  private lost(problem: Problem): void {
    if (problem.status === 401) this.set({ needsKey: problem });
    if (problem.isAboutKeys) {
      // No events for this caller: what it may read is asked for again and again.
      this.hasEvents = false;
      this.set({ connection: "live" });
    } else if (this.snapshot.connection !== "lost") {
      this.set({ connection: "lost", since: Date.now() });
    }
  }

  private happened(event: PoolEvent): void {
    this.reports.wanted();
    if (event.kind === "gap") this.refresh();
    if (event.kind.startsWith("execution_") || event.kind === "failover") this.executions.wanted();
    if (event.kind === "execution_ended" || event.kind === "session_moved") this.sessions.wanted();
    if (event.kind === "alert") this.alerts.wanted();
    if (event.kind === "usage_recorded") {
      this.costs.wanted();
      this.trends.wanted();
      this.own.wanted();
      this.set({ recorded: this.snapshot.recorded + 1 });
    }
  }

  private async readReports(): Promise<void> {
    await Promise.all([
      this.take<Pool>("/v1/pool", {}, (pool) => {
        const skew = pool.value === null ? this.snapshot.skew : Date.parse(pool.value.observed_at) - Date.now();
        // Below a second it is the way of the answer, not the clocks.
        const first = this.snapshot.pool.value === null;
        this.set({ pool, skew: Math.abs(skew) < 1500 ? 0 : skew });
        if (first) for (const each of [this.costs, this.trends, this.own]) each.wanted();
      }, () => this.snapshot.pool),
      this.take<PageOf<Subscription>>("/v1/subscriptions", {}, (part) =>
        this.set({ subscriptions: { ...part, value: part.value?.items ?? null } }),
        () => wrapped(this.snapshot.subscriptions),
      ),
    ]);
  }

  private async readExecutions(): Promise<void> {
    const { status, subscription_id } = this.snapshot.filter;
    const query = { limit: this.shown, status, subscription_id };
    await this.take<PageOf<Execution>>("/v1/executions", query, (part) => {
      if (this.snapshot.filter.status !== status) return;
      if (this.snapshot.filter.subscription_id !== subscription_id) return;
      this.set({
        executions: { ...part, value: part.value?.items ?? null },
        older: this.shown < 200 ? (part.value?.next_cursor ?? null) : null,
      });
    }, () => wrapped(this.snapshot.executions));
  }

  private async readOwn(): Promise<void> {
    if (this.snapshot.pool.problem?.status !== 403) return;
    await this.take<OwnUsage>("/v1/usage/own", {}, (own) => this.set({ own }), () => this.snapshot.own);
  }

  private readSessions(): Promise<void> {
    return this.take<PageOf<Session>>("/v1/sessions", { limit: 8 }, (part) =>
      this.set({ sessions: { ...part, value: part.value?.items ?? null } }),
      () => wrapped(this.snapshot.sessions),
    );
  }

  private readAlerts(): Promise<void> {
    return this.take<PageOf<Alert>>("/v1/alerts", { limit: 20 }, (part) =>
      this.set({ alerts: { ...part, value: part.value?.items ?? null } }),
      () => wrapped(this.snapshot.alerts),
    );
  }

  private readCosts(): Promise<void> {
    return this.readUsage(DAYS_BACK, ["block"], (costs) => this.set({ costs }), () => this.snapshot.costs);
  }

  private readTrends(): Promise<void> {
    const by = ["block", "subscription"];
    return this.readUsage(TREND_DAYS, by, (trends) => this.set({ trends }), () => this.snapshot.trends);
  }

  private async readUsage(
    days: number,
    by: string[],
    set: (part: Part<UsageBreakdown>) => void,
    known: () => Part<UsageBreakdown>,
  ): Promise<void> {
    const { pool } = this.snapshot;
    if (pool.value === null && pool.problem === null) return; // which day it is there is not known
    const range = wholeDays(days, Date.now() + this.snapshot.skew);
    await this.taken(() => this.usage.read(range, by), set, known);
  }

  /** Ask; what was known stays where the answer is a problem that may pass. */
  private async take<T>(
    path: string,
    query: Record<string, string | number | boolean | string[]>,
    set: (part: Part<T>) => void,
    known: () => Part<T>,
  ): Promise<void> {
    await this.taken(() => this.client.get<T>(path, query), set, known);
  }

  private async taken<T>(
    read: () => Promise<T>,
    set: (part: Part<T>) => void,
    known: () => Part<T>,
  ): Promise<void> {
    const begun = this.following;
    try {
      const value = await read();
      if (begun === this.following) set({ value, problem: null });
    } catch (error) {
      if (begun !== this.following) return; // asked with another key
      const problem = error instanceof Problem ? error : new Problem(0, String(error));
      if (problem.status === 401) this.set({ needsKey: problem });
      set({ value: problem.isAboutKeys ? null : known().value, problem });
    }
  }

  private set(change: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...change };
    for (const each of this.listeners) each();
  }
}

function wrapped<T>(part: Part<T[]>): Part<PageOf<T>> {
  const value = part.value === null ? null : { items: part.value, next_cursor: null };
  return { value, problem: part.problem };
}
