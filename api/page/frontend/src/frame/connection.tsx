import { useEffect, useState } from "preact/hooks";

import type { Snapshot } from "../state/live.ts";

const SHOWN_MS = 6_000;

/** Says that the pool is gone, and then that it is back. */
export function ConnectionBanner({ snapshot }: { snapshot: Snapshot }) {
  const [isBack, setBack] = useState(false);
  const { connection, wasLost, since } = snapshot;
  useEffect(() => {
    if (connection !== "live" || !wasLost) {
      setBack(false);
      return undefined;
    }
    setBack(true);
    const timer = setTimeout(() => setBack(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [connection, wasLost, since]);
  return (
    <div class="banner" role="status">
      {connection === "lost" && (
        <p class="lost">
          <strong>The pool does not answer.</strong> What stands here is what it said last; the page
          goes on by itself as soon as it is back.
        </p>
      )}
      {connection === "live" && isBack && (
        <p class="back">
          <strong>The pool is back.</strong> Everything was read again.
        </p>
      )}
    </div>
  );
}
