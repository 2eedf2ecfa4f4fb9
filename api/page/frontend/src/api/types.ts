// What the HTTP API answers, as far as the page reads it. Times are ISO 8601 in UTC, money is USD.

export type SubscriptionState =
  | "available"
  | "approaching"
  | "limited"
  | "cooldown"
  | "paused"
  | "draining"
  | "needs_login";

export type Source = "local" | "window";

export interface Window {
  utilization: number | null;
  resets_at: string | null;
  status: string;
  models: string | null;
  source: string;
  observed_at: string;
  age_seconds: number;
  fresh: boolean;
}

export interface Block {
  id: string;
  starts_at: string;
  ends_at: string;
  cost_usd: number;
  percent: number;
}

export interface Outside {
  percent: number;
  evidence: string;
  since: string;
}

export interface WindowForecast {
  usd_per_percent: number | null;
  confidence: string | null;
  percent: number | null;
  exhausted_at: string | null;
  outside: Outside | null;
  /** The last one that has reset. */
  past: PastWindow | null;
}

export interface PastWindow {
  ended_at: string;
  unused_percent: number;
  unused_usd: number | null;
  observed_at: string;
}

export interface Component {
  name: string;
  points: number;
  sentence: string;
}

export interface Tokens {
  input_tokens: number;
  output_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
}

export interface Usage extends Tokens {
  cost_usd: number;
  models: Record<string, Tokens & { cost_usd: number }>;
}

export interface Subscription {
  id: string;
  email: string | null;
  kind: string;
  state: SubscriptionState;
  state_reason: string;
  state_until: string | null;
  presence: "awake" | "asleep" | "away";
  /** The node that it is on; null where that is not known. */
  node: string | null;
  cooldown_cause: string | null;
  unproved: string | null;
  login_expires_at: string | null;
  refused_models: { model: string; until: string | null }[];
  current_block: Block;
  weekly: { used_usd: number; reserved_usd: number; budget_usd: number; percent: number };
  expected_block_usd: number;
  windows: Record<string, Window>;
  weekly_percent: number;
  weekly_source: Source;
  block_percent: number;
  block_source: Source;
  health: { score: number; components: Component[] };
  burn_rate_usd_per_hour: number;
  forecast: {
    projected_block_usd: number;
    exhausted_at: string | null;
    exhausted_by: string | null;
    windows: Record<string, WindowForecast>;
  };
  running: number;
  queued: number;
  /** Executions that wait for results of their callers' tools, and hold no slot. */
  waiting_for_caller: number;
  uncertain: number;
  uncertain_usd: number;
  max_concurrent: number;
  capacity: number;
  max_queued: number;
  weight: number;
  tier: number;
  reserve_percent: number;
  allow_overage: boolean;
  last_request_at: string | null;
  totals: { executions: number; records: number; usage: Usage };
  observed_at: string;
}

export interface Pool {
  subscriptions: number;
  unheard: string[];
  block_cost_usd: number;
  weekly_used_usd: number;
  weekly_reserved_usd: number;
  weekly_budget_usd: number;
  total_cost_usd: number;
  executions: number;
  running: number;
  queued: number;
  uncertain: number;
  uncertain_usd: number;
  forecast: {
    burn_rate_usd_per_hour: number;
    projected_block_usd: number;
    weekly_headroom_usd: number;
    exhausted_at: string | null;
    dry_at: string | null;
  };
  verdict: Verdict;
  attention: Notice[];
  latency: Latency[];
  observed_at: string;
}

/** How long a step of executions took, since the last start. */
export interface Latency {
  step: "dispatch" | "queue_wait" | "run";
  count: number;
  p50_seconds: number;
  p90_seconds: number;
  p99_seconds: number;
}

/** What somebody should look at; `text` goes on from the subjects. */
export interface Notice {
  kind: string;
  severity: "critical" | "warning";
  subjects: string[];
  text: string;
  advice: string;
}

/** What comes to a subscription at an instant, by a limit or the end of its state. */
export interface Due {
  subscription_id: string;
  at: string;
  by: string;
}

export interface Verdict {
  level: "empty" | "safe" | "tight" | "dry";
  serving: number;
  first_dry: Due | null;
  relief: Due | null;
  burner: { subscription_id: string; usd_per_hour: number; share: number } | null;
}

export type ExecutionStatus =
  | "queued"
  | "running"
  | "waiting_for_caller"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "interrupted"
  | "uncertain";

export interface Attempt {
  subscription_id: string;
  outcome: string;
  reason: string | null;
  cost_usd: number;
  process?: string | null;
  node?: string | null;
}

export interface Candidate {
  subscription_id: string;
  score: number;
  components: Component[];
  refusal: string | null;
  refused_until: string | null;
}

export interface Routing {
  score: number;
  reason: string;
  candidates: Candidate[];
  considered?: number;
  usable?: number;
  refused?: Record<string, number>;
}

export interface Execution {
  id: string;
  status: ExecutionStatus;
  subscription_id: string;
  session_id: string;
  model: string;
  result: string | null;
  error: { type: string; message: string; retry_at: string | null } | null;
  /** `partial`: a lower bound, of a run that was cut off. */
  usage: Usage & { partial?: boolean };
  attempts: Attempt[];
  /** What it waits for its caller to run. */
  tool_calls?: { id: string; name: string; input: unknown }[];
  waits_until?: string | null;
  rounds?: unknown[];
  routing: Routing;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  duration_ms: number | null;
  content_removed_at?: string | null;
  metadata: Record<string, string>;
}

export interface Session {
  id: string;
  subscription_id: string;
  state: "active" | "idle" | "stale";
  last_used_at: string;
}

export interface Alert {
  id: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  subject: string;
  message: string;
  raised_at: string;
}

export interface UsageRow extends Tokens {
  day?: string;
  block?: string;
  model?: string | null;
  key?: string | null;
  tags?: Record<string, string | null>;
  subscription?: string;
  cost_usd: number;
}

export interface UsageBreakdown {
  since: string;
  until: string;
  is_complete: boolean;
  items: UsageRow[];
  total: UsageRow;
  /** What else it can be summed by: `tag:KEY`. */
  tags: string[];
}

export interface Key {
  id: string;
  name: string;
  scopes: string[];
  tenant?: string | null;
  declared: boolean;
  expires_at: string | null;
  revoked_at: string | null;
  daily_budget_usd: number | null;
  weekly_budget_usd: number | null;
  used: { running: number; today_usd: number; week_usd: number } | null;
}

export interface PageOf<T> {
  items: T[];
  next_cursor: string | null;
}

export interface PoolEvent {
  kind: string;
  at: string;
  subscription_id: string | null;
  execution_id: string | null;
  session_id: string | null;
  data: Record<string, string | number | boolean | null>;
}

/** What the caller's own tenant has used. */
export interface OwnUsage {
  tenant: string | null;
  today: Usage;
  block: Usage;
  block_ends_at: string;
  week: Usage;
  key: string | null;
  budgets: {
    daily_usd: number | null;
    daily_left_usd: number | null;
    weekly_usd: number | null;
    weekly_left_usd: number | null;
    reserved_usd: number;
  } | null;
}
