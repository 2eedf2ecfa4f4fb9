// Requests to the pool. An answer that is no success is a Problem, with what the pool said of it.

export class Problem extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }

  /** Whether another key may help. */
  get isAboutKeys(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** Whether nobody answered at all. */
  get isSilence(): boolean {
    return this.status === 0;
  }
}

type Query = Record<string, string | number | boolean | string[] | null | undefined>;

export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") search.append(name, String(each));
    }
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

const PATIENCE_MS = 20_000;

export class Client {
  private readonly key: () => string | null;

  constructor(key: () => string | null) {
    this.key = key;
  }

  headers(): Record<string, string> {
    const key = this.key();
    return key === null ? {} : { Authorization: `Bearer ${key}` };
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return (await (await this.send("GET", address(path, query))).json()) as T;
  }

  /** POST, PATCH or DELETE; null where the answer has no body. */
  async act<T>(method: "POST" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<T | null> {
    const answer = await this.send(method, path, body, 90_000);
    return answer.status === 204 ? null : ((await answer.json()) as T);
  }

  private async send(method: string, path: string, body?: unknown, patience = PATIENCE_MS) {
    const headers = this.headers();
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer: Response;
    try {
      answer = await fetch(path, {
        method,
        headers,
        credentials: "omit",
        signal: AbortSignal.timeout(patience),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new Problem(0, "The pool does not answer.");
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }
}

export async function problemOf(answer: Response): Promise<Problem> {
  try {
    const told = (await answer.json()) as { detail?: unknown; title?: unknown };
    const detail = typeof told.detail === "string" ? told.detail : told.title;
    return new Problem(answer.status, typeof detail === "string" ? detail : answer.statusText);
  } catch {
    return new Problem(answer.status, answer.statusText || `Status ${answer.status}`);
  }
}
