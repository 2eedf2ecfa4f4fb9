// A change asks first, and says what it will do; a refusal says what is missing.

import { useEffect, useRef, useState } from "preact/hooks";

import { Problem } from "../api/client.ts";

export interface Change {
  title: string;
  /** What will happen. */
  effect: string;
  verb: string;
  grave?: boolean;
  run: () => Promise<void>;
}

interface ConfirmProps {
  change: Change;
  close: () => void;
  signIn: () => void;
}

export function Confirm({ change, close, signIn }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  const go = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await change.run();
      close();
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, String(error)));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} class="confirm" aria-label={change.title} onClose={close}>
      <h2>{change.title}</h2>
      <p>{change.effect}</p>
      {problem !== null && (
        <p class="error" role="alert">
          {problem.message}
        </p>
      )}
      <div class="buttons">
        {problem?.isAboutKeys && (
          <button type="button" onClick={signIn}>
            Use another key
          </button>
        )}
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class={change.grave ? "grave" : "main"} disabled={busy} onClick={() => void go()}>
          {busy ? "Working…" : change.verb}
        </button>
      </div>
    </dialog>
  );
}
