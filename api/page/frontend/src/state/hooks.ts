// How parts of the page get at what is known.

import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";

import { Problem } from "../api/client.ts";
import type { KeyHolder } from "./key.ts";
import type { Live, Part, Snapshot } from "./live.ts";

export interface Surroundings {
  live: Live;
  key: KeyHolder;
}

export const Around = createContext<Surroundings | null>(null);

export function useAround(): Surroundings {
  const around = useContext(Around);
  if (around === null) throw new Error("the page has no surroundings");
  return around;
}

export function useSnapshot(): Snapshot {
  const { live } = useAround();
  const [snapshot, set] = useState(live.snapshot);
  useEffect(() => {
    set(live.snapshot);
    return live.subscribe(() => set(live.snapshot));
  }, [live]);
  return snapshot;
}

/** The pool's time, every few seconds anew. */
export function useNow(everyMs = 5_000): number {
  const { live } = useAround();
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now + live.snapshot.skew;
}

/** What one part of the page alone reads: anew when `key` changes, and every `everyMs`; nothing without one. */
export function useLoaded<T>(key: string | null, load: () => Promise<T>, everyMs: number): Part<T> {
  const [part, set] = useState<Part<T> & { key: string | null }>({ key, value: null, problem: null });
  useEffect(() => {
    if (key === null) return undefined;
    let over = false;
    const read = async () => {
      try {
        const value = await load();
        if (!over) set({ key, value, problem: null });
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem(0, String(error));
        if (!over) set((known) => ({ key, value: known.value, problem }));
      }
    };
    void read();
    const timer = setInterval(() => {
      if (!document.hidden) void read();
    }, everyMs);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [key]);
  return part;
}
