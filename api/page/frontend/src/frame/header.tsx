import { useState } from "preact/hooks";

import { span } from "../rules/format.ts";
import { useAround } from "../state/hooks.ts";
import type { Snapshot } from "../state/live.ts";
import { applyTheme, nextTheme, themeNow } from "../state/theme.ts";

interface HeaderProps {
  snapshot: Snapshot;
  now: number;
  signIn: () => void;
}

const THEMES = { system: "Auto", light: "Light", dark: "Dark" };

export function Header({ snapshot, now, signIn }: HeaderProps) {
  const { key, live } = useAround();
  const [theme, setTheme] = useState(themeNow());
  const signOut = () => {
    key.forget();
    live.start();
  };
  const change = () => {
    const next = nextTheme(theme);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <header class="top">
      <div class="brand">
        <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
          <rect width="32" height="32" rx="8" class="mark" />
          <rect x="7" y="17" width="4.5" height="8" rx="1.5" class="bar" opacity=".65" />
          <rect x="13.75" y="12" width="4.5" height="13" rx="1.5" class="bar" opacity=".85" />
          <rect x="20.5" y="7" width="4.5" height="18" rx="1.5" class="bar" />
        </svg>
        <span>Claude pool</span>
      </div>
      <ConnectionLight snapshot={snapshot} now={now} />
      <nav aria-label="Settings">
        <a class="quiet wide" href="/docs">
          API
        </a>
        <button type="button" class="quiet" onClick={change} title="Change the colours">
          <span class="hidden">Colours: </span>
          {THEMES[theme]}
        </button>
        {key.get() === null ? (
          <button type="button" class="quiet" onClick={signIn}>
            Sign in
          </button>
        ) : (
          <button type="button" class="quiet" onClick={signOut}>
            Sign out
          </button>
        )}
      </nav>
    </header>
  );
}

function ConnectionLight({ snapshot, now }: { snapshot: Snapshot; now: number }) {
  const { connection } = snapshot;
  const observed = snapshot.pool.value?.observed_at;
  const age = observed === undefined ? null : now - Date.parse(observed);
  const text = { connecting: "Connecting", live: "Live", lost: "No connection" }[connection];
  return (
    <p class={`light ${connection}`}>
      <i aria-hidden="true" />
      {text}
      {connection === "lost" && age !== null && <span>, figures are {span(age)} old</span>}
    </p>
  );
}
