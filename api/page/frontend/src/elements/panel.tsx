// The frame of a part of the page: its title, what stands beside that, and what it says when there
// is nothing to show, by now or for this caller.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

import type { Problem } from "../api/client.ts";
import type { Part } from "../state/live.ts";

interface PanelProps {
  title: string;
  name: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}

export function Panel({ title, name, aside, children }: PanelProps) {
  const id = useId();
  return (
    <section class={`panel ${name}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside !== undefined && <div class="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

interface ShownProps<T> {
  part: Part<T>;
  lines?: number;
  empty?: (value: T) => ComponentChildren;
  children: (value: T) => ComponentChildren;
}

/** A part once it is there; until then its place, of about its height. */
export function Shown<T>({ part, lines = 4, empty, children }: ShownProps<T>) {
  if (part.value !== null) return <>{empty?.(part.value) ?? children(part.value)}</>;
  if (part.problem !== null && !part.problem.isSilence) return <Denied problem={part.problem} />;
  return <Loading lines={lines} />;
}

export function Loading({ lines }: { lines: number }) {
  return (
    <div class="loading" aria-busy="true">
      <span class="hidden">Loading</span>
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} class="bone" />
      ))}
    </div>
  );
}

export function Denied({ problem }: { problem: Problem }) {
  const title = problem.isAboutKeys ? "Not for this key" : "Not to be had now";
  return (
    <p class="nothing">
      <strong>{title}.</strong> {problem.message}
    </p>
  );
}

export function Nothing({ children }: { children: ComponentChildren }) {
  return <p class="nothing">{children}</p>;
}
