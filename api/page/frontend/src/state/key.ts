// The caller's key: in memory, and in the tab's own storage only where that was asked for. Never in
// an address, never in what outlives the tab.

const PLACE = "claude-pool.key";

export class KeyHolder {
  private key: string | null;

  constructor() {
    this.key = sessionStorage.getItem(PLACE);
  }

  get(): string | null {
    return this.key;
  }

  use(key: string, keep: boolean): void {
    this.key = key;
    if (keep) sessionStorage.setItem(PLACE, key);
    else sessionStorage.removeItem(PLACE);
  }

  forget(): void {
    this.key = null;
    sessionStorage.removeItem(PLACE);
  }
}
