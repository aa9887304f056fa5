import type { Ack, Cursor } from './messages';

const GATHER_MS = 200; // an ack counts for all alerts before it, so that one for many is enough

/** Tells the device how far this consumer is: the latest cursor, not more often than every 0.2 s. */
export class Acks {
  private latest: Cursor | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly send: (ack: Ack) => boolean) {}

  moved(cursor: Cursor): void {
    this.latest = cursor;
    this.timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  /** Sends what waits; what cannot be sent now waits for the next flush. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.latest && this.send({ type: 'ack', ...this.latest })) this.latest = undefined;
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.latest = undefined;
  }
}
