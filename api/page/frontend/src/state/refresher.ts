// Reads again when something has happened, and never faster than it is good for the pool: one
// request at a time, at least `gap` ms apart, and apart by several times what the last one took.

const REST_FACTOR = 4;

export class Refresher {
  private running = false;
  /** How often all was forgotten: what was asked before has no say after. */
  private beginnings = 0;
  private again = false;
  private notBefore = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly read: () => Promise<void>;
  private readonly gap: number;

  constructor(read: () => Promise<void>, gap: number) {
    this.read = read;
    this.gap = gap;
  }

  /** Read soon. */
  wanted(): void {
    if (this.running) {
      this.again = true;
      return;
    }
    this.timer ??= setTimeout(() => void this.run(), Math.max(0, this.notBefore - Date.now()));
  }

  /** Forget what was wanted, and what is being read: the next one begins afresh, at once. */
  stop(): void {
    clearTimeout(this.timer);
    this.beginnings += 1;
    this.running = false;
    this.notBefore = 0;
    this.timer = undefined;
    this.again = false;
  }

  private async run(): Promise<void> {
    this.timer = undefined;
    this.running = true;
    const beginning = this.beginnings;
    const began = Date.now();
    await this.read();
    if (beginning !== this.beginnings) return;
    this.running = false;
    const took = Date.now() - began;
    this.notBefore = Date.now() + Math.max(this.gap, REST_FACTOR * took);
    if (this.again) {
      this.again = false;
      this.wanted();
    }
  }
}
