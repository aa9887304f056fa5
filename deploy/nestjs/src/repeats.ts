const QUIET_MS = 60_000;
const MOST_TEXTS = 2_000; // beyond it the oldest is forgotten, and may be logged once more

/** Keeps a log readable: the same line comes once a minute, and then with how often it came meanwhile. */
export class Repeats {
  private readonly told = new Map<string, { at: number; more: number }>();

  /** `now` gives milliseconds that never go back. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** What to log; undefined while that was logged a moment ago. */
  line(text: string): string | undefined {
    const last = this.told.get(text);
    if (last && this.now() - last.at < QUIET_MS) {
      last.more++;
      return undefined;
    }
    this.told.delete(text);
    this.told.set(text, { at: this.now(), more: 0 });
    if (this.told.size > MOST_TEXTS) this.told.delete(this.told.keys().next().value as string);
    return last?.more ? `${text} (and ${last.more} times before)` : text;
  }
}
