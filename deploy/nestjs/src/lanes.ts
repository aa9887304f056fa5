import type { Backoff } from './backoff';
import type { Step } from './cursor';
import { reasonOf } from './errors';
import type { Alert, Cursor } from './messages';
import { wait } from './wait';

const SLOW_MS = 30_000; // so long nothing is said of a handler or a store that works on

/** Results and pictures on their way to a handler; when it is too slow for them, the oldest is dropped and counted. */
export class DroppingLane<T> {
  dropped = 0;
  private readonly waiting: T[] = [];
  private busy = false;
  private closed = false;

  constructor(
    private readonly capacity: number,
    private readonly handle: (item: T) => unknown,
    private readonly failed: (error: unknown) => void,
  ) {}

  push(item: T): void {
    if (this.closed) return;
    this.waiting.push(item);
    if (this.waiting.length > this.capacity) {
      this.waiting.shift();
      this.dropped++;
    }
    if (!this.busy) void this.work();
  }

  /** What waits is forgotten. */
  close(): void {
    this.closed = true;
    this.waiting.length = 0;
  }

  private async work(): Promise<void> {
    this.busy = true;
    for (let item = this.waiting.shift(); item !== undefined; item = this.waiting.shift()) {
      try {
        await this.handle(item);
      } catch (error) {
        this.failed(error);
      }
    }
    this.busy = false;
  }
}

/** What an AlertLane does with each alert, one after the other. */
export interface AlertWork {
  /** Gives it to the application, whose failure means: again, after a while. `attempt` counts from 1. */
  give(alert: Alert, attempt: number): unknown;
  /** Asked after a failure: whether to leave this alert out for good. */
  giveUp(alert: Alert, error: unknown, attempt: number): boolean | Promise<boolean>;
  save(cursor: Cursor): unknown;
  /** The cursor was saved. */
  moved(cursor: Cursor): void;
  /** Something did not work and is tried again in `retryMs`. */
  failed(what: string, retryMs: number): void;
  /** Something is not done yet, every 30 s. */
  slow(what: string): void;
}

interface Item extends Step {
  alert?: Alert;
  first?: () => void;
}

/**
 * Alerts on their way to the application: in order, one at a time, each until it was dealt with; only then is its
 * cursor saved. At most `capacity` wait: the owner stops reading while `full`, nothing is ever dropped.
 */
export class AlertLane {
  private readonly waiting: Item[] = [];
  private readonly stopping = new AbortController();
  private readonly roomWanted: Array<() => void> = [];
  private working: Promise<void> | undefined;

  constructor(
    private readonly capacity: number,
    private readonly work: AlertWork,
    private readonly backoff: () => Backoff,
  ) {}

  get full(): boolean {
    return this.waiting.length >= this.capacity;
  }

  /** A step without an alert only moves the cursor; `first` is called when all before it were dealt with. */
  push(step: Step, alert?: Alert, first?: () => void): void {
    if (this.stopping.signal.aborted || (!step.give && !step.cursor)) return;
    this.waiting.push({ ...step, ...(alert && { alert }), ...(first && { first }) });
    this.working ??= this.workOff();
  }

  /** Resolves when at most half of the places are taken. */
  room(): Promise<void> {
    return new Promise((resolve) => {
      this.roomWanted.push(resolve);
      this.tellRoom();
    });
  }

  /** Forgets what waits, and resolves when the alert that is with the handler is dealt with. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.waiting.length = 0;
    this.tellRoom();
    await this.working;
  }

  private async workOff(): Promise<void> {
    for (let item = this.waiting[0]; item; item = this.waiting[0]) {
      const done = await this.handle(item);
      if (!done) break;
      this.waiting.shift();
      this.tellRoom();
    }
    this.working = undefined;
  }

  private async handle({ alert, give, cursor, first }: Item): Promise<boolean> {
    first?.();
    if (alert && give && !(await this.give(alert))) return false;
    if (!cursor) return true;
    const saved = await this.until('the cursor was not saved', 'the cursor store has not answered', () =>
      this.work.save(cursor),
    );
    if (saved) this.work.moved(cursor);
    return saved;
  }

  private give(alert: Alert): Promise<boolean> {
    return this.until(
      `alert ${alert.alert_id} was not handled`,
      `alert ${alert.alert_id} has been with its handler`,
      (attempt) => this.work.give(alert, attempt),
      (error, attempt) => this.work.giveUp(alert, error, attempt),
    );
  }

  /** Does it until it works or is given up; false when the lane was stopped first. */
  private async until(
    what: string,
    unfinished: string,
    action: (attempt: number) => unknown,
    giveUp: (error: unknown, attempt: number) => boolean | Promise<boolean> = () => false,
  ): Promise<boolean> {
    const backoff = this.backoff();
    for (let attempt = 1; ; attempt++) {
      try {
        await this.timed(unfinished, () => action(attempt));
        return true;
      } catch (error) {
        if (await this.leftOut(() => giveUp(error, attempt))) return true;
        const retryMs = backoff.next();
        this.work.failed(`${what}: ${reasonOf(error)}`, retryMs);
        if (!(await wait(retryMs, this.stopping.signal))) return false;
      }
    }
  }

  private async timed(unfinished: string, action: () => unknown): Promise<void> {
    let times = 0;
    const watch = setInterval(() => this.work.slow(`${unfinished} for ${(++times * SLOW_MS) / 1_000} s`), SLOW_MS);
    try {
      await action();
    } finally {
      clearInterval(watch);
    }
  }

  /** A giveUp() that fails itself leaves nothing out. */
  private async leftOut(giveUp: () => boolean | Promise<boolean>): Promise<boolean> {
    try {
      return await giveUp();
    } catch {
      return false;
    }
  }

  private tellRoom(): void {
    if (this.waiting.length * 2 > this.capacity) return;
    for (const tell of this.roomWanted.splice(0)) tell();
  }
}
