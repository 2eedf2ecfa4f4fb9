import { useState } from "preact/hooks";

import type { Problem } from "../api/client.ts";
import { useAround } from "../state/hooks.ts";

interface SignInProps {
  problem: Problem | null;
  done: () => void;
}

export function SignIn({ problem, done }: SignInProps) {
  const { key, live } = useAround();
  const [value, setValue] = useState("");
  const [keep, setKeep] = useState(false);
  const refused = problem !== null && key.get() !== null;
  const submit = (event: Event) => {
    event.preventDefault();
    const typed = value.trim();
    if (!typed) return;
    key.use(typed, keep);
    live.start();
    done();
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <h1>Claude pool</h1>
        <p>This pool is opened with a key: what you see is what the key may see.</p>
        {refused && (
          <p class="error" role="alert">
            That key does not open the pool. {problem.status === 401 ? "" : problem.message}
          </p>
        )}
        <label>
          Key
          <input
            type="password"
            name="key"
            autocomplete="off"
            spellcheck={false}
            placeholder="cp_…"
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
            autoFocus
          />
        </label>
        <label class="check">
          <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.currentTarget.checked)} />
          Keep it until this tab is closed
        </label>
        <div class="buttons">
          <button type="submit" class="main">
            Sign in
          </button>
          {problem === null && (
            <button type="button" onClick={done}>
              Back
            </button>
          )}
        </div>
        <p class="hint">
          Otherwise it is forgotten with the next reload. An administrator makes keys with{" "}
          <code>claude-pool keys create</code>.
        </p>
      </form>
    </main>
  );
}
