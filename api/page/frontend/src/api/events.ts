// Server-sent events read by fetch, which can send a key in a header, as EventSource cannot.

import { type Client, Problem, problemOf } from "./client.ts";
import type { PoolEvent } from "./types.ts";

export interface ServerEvent {
  id: string | null;
  event: string;
  data: string;
}

/** Cuts a stream of text into events, however its pieces fall. */
export class EventParser {
  private rest = "";

  feed(piece: string): ServerEvent[] {
    const parts = (this.rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = parts.pop() ?? "";
    return parts.map(parsed).filter((each) => each !== null);
  }
}

function parsed(text: string): ServerEvent | null {
  let id: string | null = null;
  let event = "message";
  const data: string[] = [];
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment keeps the connection alive
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("id:")) id = value;
    else if (line.startsWith("event:")) event = value;
    else if (line.startsWith("data:")) data.push(value);
  }
  return data.length ? { id, event, data: data.join("\n") } : null;
}

export interface Follower {
  opened(): void;
  happened(event: PoolEvent): void;
  lost(problem: Problem): void;
}

const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;
const LONGEST_SILENCE_MS = 45_000; // the pool says something every 15 s

/** Follows /v1/events until `signal` aborts; after a loss it goes on where it was. */
export async function follow(client: Client, follower: Follower, signal: AbortSignal): Promise<void> {
  let last: string | null = null;
  let pause = SHORTEST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      for await (const each of stream(client, last, signal, () => {
        pause = SHORTEST_PAUSE_MS;
        follower.opened();
      })) {
        last = each.id ?? last;
        if (each.event === "error") break;
        follower.happened(JSON.parse(each.data) as PoolEvent);
      }
      if (!signal.aborted) follower.lost(new Problem(0, "The stream of events has ended."));
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Problem ? error : new Problem(0, "The pool does not answer.");
      follower.lost(problem);
      if (problem.isAboutKeys) return;
      if (problem.status === 422) last = null; // the id is of no pool that is there now
    }
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

async function* stream(
  client: Client,
  last: string | null,
  signal: AbortSignal,
  opened: () => void,
): AsyncGenerator<ServerEvent> {
  const ours = new AbortController();
  const stop = () => ours.abort();
  signal.addEventListener("abort", stop);
  let silence = setTimeout(stop, LONGEST_SILENCE_MS);
  try {
    const headers = { ...client.headers(), ...(last === null ? {} : { "Last-Event-ID": last }) };
    const answer = await fetch("/v1/events", { headers, credentials: "omit", signal: ours.signal });
    if (!answer.ok || answer.body === null) throw await problemOf(answer);
    opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(stop, LONGEST_SILENCE_MS);
      yield* parser.feed(value);
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
    ours.abort();
  }
}
