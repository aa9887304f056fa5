import { setTimeout as sleep } from 'node:timers/promises';

import { EdgeError, ProtocolError, reasonOf } from './errors';
import { type Alert, type Cursor, type HelloOk, isDurable } from './messages';

/**
 * Where the cursors of your devices are kept, in your database: one row a device, and rows of its own for each
 * EdgeTransport or EdgeStreams. Both may be asynchronous; when one fails it is tried again, and no further alert is
 * given to your handler until it has worked.
 */
export interface CursorStore {
  /** What was saved last; undefined or null for a device that is new. */
  load(deviceId: string): Promise<Cursor | null | undefined> | Cursor | null | undefined;
  save(deviceId: string, cursor: Cursor): Promise<void> | void;
}

/** Cursors that a restart forgets: for tests and trials. */
export class MemoryCursorStore implements CursorStore {
  private readonly cursors = new Map<string, Cursor>();

  load(deviceId: string): Cursor | undefined {
    return this.cursors.get(deviceId);
  }

  save(deviceId: string, cursor: Cursor): void {
    this.cursors.set(deviceId, { ...cursor });
  }
}

/**
 * The cursor that is kept for this device; EdgeError when there is no answer in `boundMs` milliseconds, or it is no
 * cursor: beginning anew in silence would lose alerts.
 */
export async function loadCursor(store: CursorStore, deviceId: string, boundMs: number): Promise<Cursor | undefined> {
  const answered = new AbortController();
  const late = sleep(boundMs, undefined, { signal: answered.signal }).then(() => {
    throw new Error(`no answer in ${boundMs / 1_000} s`);
  });
  try {
    return checked(await Promise.race([store.load(deviceId), late]));
  } catch (cause) {
    throw new EdgeError(`the cursor of ${deviceId} could not be loaded: ${reasonOf(cause)}`, { cause });
  } finally {
    answered.abort();
    late.catch(() => undefined); // it was ended
  }
}

/** Rows may have more columns; a number that a database gives as text (a bigint's) would count wrong. */
function checked(row: Cursor | null | undefined): Cursor | undefined {
  if (row === undefined || row === null) return undefined;
  const { stream, seq } = row;
  if (typeof stream !== 'string' || stream === '') throw new Error('`stream` must be the text that was saved');
  if (!Number.isSafeInteger(seq) || seq < 0) {
    throw new Error(`\`seq\` must be the number that was saved, and is a ${typeof seq}`);
  }
  return { stream, seq };
}

/** What an alert that came means: whether it is to be given to the application, and where the cursor is after it. */
export interface Step {
  give: boolean;
  cursor?: Cursor;
}

/** Of one alert, with or without a number; undefined where the device names no events. */
function keyOf(alert: Alert): string | undefined {
  const { event_uid: uid, state = 'firing', threat_level: level } = alert;
  return uid === undefined ? undefined : `${uid} ${state} ${level}`;
}

const REMEMBERED = 4096; // an unstored copy and its stored one come seconds apart

/**
 * The rule by which nothing is lost and nothing repeated (docs/protocol.md, section 9): alerts before hello_ok do not
 * count, and from then on the cursor moves only by one. A jump is an error: hang up, and resume from here. It follows
 * what was received; what was dealt with is saved by the AlertLane.
 */
export class AlertCursor {
  private readonly copies = new Recent(); // alerts that were given, with whether it was as a stored one

  constructor(public position?: Cursor) {}

  /** A session begins. Gives the new position where the device's answer moved it. */
  begin(ok: HelloOk): Cursor | undefined {
    if (!ok.resume) return undefined; // no store is open over there: alerts without seq may come
    const { status, from } = ok.resume;
    if (typeof ok.stream !== 'string' || !Number.isSafeInteger(from) || from < 1) {
      throw new ProtocolError('hello_ok names no place in the stream');
    }
    const { position } = this;
    if (status === 'ok' && position) {
      if (position.stream === ok.stream && from <= position.seq + 1) return undefined;
      throw new ProtocolError(
        `asked to go on after ${show(position)}, the device goes on with ${from} of ${ok.stream}`,
      );
    }
    this.position = { stream: ok.stream, seq: from - 1 };
    return this.position;
  }

  /** An alert came after hello_ok; ProtocolError when one before it did not come. */
  accept(alert: Alert): Step {
    const key = keyOf(alert);
    if (!isDurable(alert)) {
      const given = key !== undefined && this.copies.get(key) !== undefined;
      if (key !== undefined && !given) this.copies.set(key, false);
      return { give: !given };
    }
    const cursor = this.advance({ stream: alert.stream, seq: alert.seq });
    if (!cursor) return { give: false }; // it was had before
    const given = key !== undefined && this.copies.get(key) === false;
    if (key !== undefined) this.copies.set(key, true);
    return { give: !given, cursor };
  }

  private advance(next: Cursor): Cursor | undefined {
    const { position } = this;
    if (position && next.stream === position.stream && next.seq <= position.seq) return undefined;
    if (position && (next.stream !== position.stream || next.seq !== position.seq + 1)) {
      throw new ProtocolError(`after alert ${show(position)} came ${show(next)}`);
    }
    this.position = next;
    return next;
  }
}

/** The last few thousand texts, each with a yes or no. */
export class Recent {
  private readonly texts = new Map<string, boolean>();

  get(text: string): boolean | undefined {
    return this.texts.get(text);
  }

  set(text: string, value: boolean): void {
    this.texts.set(text, value);
    if (this.texts.size > REMEMBERED) this.texts.delete(this.texts.keys().next().value as string);
  }
}

function show(cursor: Cursor): string {
  return `${cursor.seq} of stream ${cursor.stream}`;
}
