// Which details are open, in the address behind #, so that Back closes them. Ids only.

import { useEffect, useState } from "preact/hooks";

export interface Place {
  kind: "subscription" | "execution";
  id: string;
}

function read(): Place | null {
  const known = /^#(subscription|execution)=(.+)$/.exec(location.hash);
  if (known === null) return null;
  try {
    return { kind: known[1] as Place["kind"], id: decodeURIComponent(known[2] ?? "") };
  } catch {
    return null;
  }
}

export function hrefOf(place: Place): string {
  return `#${place.kind}=${encodeURIComponent(place.id)}`;
}

export function leave(): void {
  history.pushState(null, "", location.pathname);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function usePlace(): Place | null {
  const [place, set] = useState(read);
  useEffect(() => {
    const changed = () => set(read());
    addEventListener("hashchange", changed);
    addEventListener("popstate", changed);
    return () => {
      removeEventListener("hashchange", changed);
      removeEventListener("popstate", changed);
    };
  }, []);
  return place;
}
