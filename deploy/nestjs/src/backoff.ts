const SHORTEST_MS = 250;
const LONGEST_MS = 30_000;

/**
 * Waits with full jitter: each is drawn between 0.25 s and a bound that doubles up to 30 s, so that many clients do not
 * come back at one moment. `random` gives numbers from 0 (inclusive) to 1 (exclusive).
 */
export class Backoff {
  private failures = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const bound = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** (this.failures + 1));
    this.failures = Math.min(this.failures + 1, 16);
    return SHORTEST_MS + this.random() * (bound - SHORTEST_MS);
  }

  /** It worked: the next wait is a short one again. */
  reset(): void {
    this.failures = 0;
  }
}
