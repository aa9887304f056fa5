import { isUtf8 } from 'node:buffer';

import { ByteBuffer } from './bytes';
import { ProtocolError, reasonOf } from './errors';

/** Bytes on the wire, as docs/protocol.md, section 2, has them. Nothing here does I/O. */

export type Framing = 'length' | 'newline';
export type ByteOrder = 'big' | 'little';

/** A message as it came: a JSON object with a `type`; a `video_frame` has its picture in `jpeg`. */
export interface RawMessage {
  type: string;
  jpeg?: Buffer;
  [field: string]: unknown;
}

export const MAX_JSON = 1 << 20;
export const MAX_JPEG = 8 << 20;
const SIZE_BYTES = 4;
const PROBE_BYTES = 5;
const BRACE = 0x7b;
const NEWLINE = 0x0a;

/** One message as bytes. */
export function encode(message: object, framing: Framing, byteorder: ByteOrder = 'big'): Buffer {
  const text = Buffer.from(JSON.stringify(message));
  checkSize('a message', text.length, MAX_JSON);
  if (framing === 'newline') return Buffer.concat([text, Buffer.of(NEWLINE)]);
  const size = Buffer.alloc(SIZE_BYTES);
  if (byteorder === 'big') size.writeUInt32BE(text.length);
  else size.writeUInt32LE(text.length);
  return Buffer.concat([size, text]);
}

/** Tells the framing from the first five bytes of a welcome; the byte order is undefined where they do not show it. */
export function detect(probe: Buffer): { framing: Framing; byteorder?: ByteOrder } {
  if (probe[SIZE_BYTES] !== BRACE) return { framing: 'newline' };
  // A welcome is under 64 KiB, and such a number read the wrong way round is never smaller.
  return { framing: 'length', byteorder: probe.readUInt32BE(0) <= probe.readUInt32LE(0) ? 'big' : 'little' };
}

/**
 * Turns the bytes of one connection, in pieces of any size, into messages; it finds framing and byte order by itself.
 *
 * Push what came, then call next() until it gives undefined. After a ProtocolError the place in the stream is lost,
 * and next() repeats the error.
 */
export class MessageReader {
  framing: Framing | undefined;
  byteorder: ByteOrder | undefined;
  private readonly buffer = new ByteBuffer();
  private searched = 0; // bytes of the buffer known to hold no newline
  private header: RawMessage | undefined; // a video_frame whose picture has not come in full
  private error: ProtocolError | undefined;

  push(piece: Buffer): void {
    if (!this.error) this.buffer.append(piece);
  }

  /** True when an end of the stream now would cut nothing off. */
  get betweenMessages(): boolean {
    return this.buffer.length === 0 && !this.header;
  }

  /** The next complete message; undefined until more bytes come. */
  next(): RawMessage | undefined {
    if (this.error) throw this.error;
    try {
      return this.readOne();
    } catch (error) {
      this.error = error as ProtocolError;
      this.buffer.clear();
      throw error;
    }
  }

  private readOne(): RawMessage | undefined {
    if (!this.framing && !this.probe()) return undefined;
    if (!this.header) {
      const text = this.framing === 'newline' ? this.takeLine() : this.takeSized();
      if (!text) return undefined;
      const message = decode(text);
      if (message.type !== 'video_frame') return message;
      checkSize('a picture', message.size, MAX_JPEG);
      this.header = message;
    }
    return this.takePicture(this.header);
  }

  private probe(): boolean {
    if (this.buffer.length < PROBE_BYTES) return false;
    ({ framing: this.framing, byteorder: this.byteorder } = detect(this.buffer.peek(PROBE_BYTES)));
    return true;
  }

  private takeLine(): Buffer | undefined {
    const end = this.buffer.indexOf(NEWLINE, this.searched);
    checkSize('a message', end < 0 ? this.buffer.length : end, MAX_JSON);
    this.searched = end < 0 ? this.buffer.length : 0;
    return end < 0 ? undefined : this.buffer.take(end + 1).subarray(0, end);
  }

  private takeSized(): Buffer | undefined {
    if (this.buffer.length < SIZE_BYTES) return undefined;
    const size = readSize(this.buffer.peek(SIZE_BYTES), this.byteorder);
    checkSize('a message', size, MAX_JSON);
    if (this.buffer.length < SIZE_BYTES + size) return undefined;
    return this.buffer.take(SIZE_BYTES + size).subarray(SIZE_BYTES);
  }

  private takePicture(header: RawMessage): RawMessage | undefined {
    const size = header.size as number;
    if (this.buffer.length < SIZE_BYTES) return undefined;
    this.checkPrefix(this.buffer.peek(SIZE_BYTES), size);
    if (this.buffer.length < SIZE_BYTES + size) return undefined;
    const picture = this.buffer.take(SIZE_BYTES + size).subarray(SIZE_BYTES);
    header.jpeg = Buffer.from(picture); // a copy: the room is used again
    this.header = undefined;
    return header;
  }

  /** The prefix repeats the announced size; on a newline listener that is also what shows its byte order. */
  private checkPrefix(prefix: Buffer, size: number): void {
    const orders: ByteOrder[] = this.byteorder ? [this.byteorder] : ['big', 'little'];
    if (orders.some((order) => readSize(prefix, order) === size)) return;
    throw new ProtocolError(
      `a picture of ${size} bytes was announced, and its size is given as ${prefix.toString('hex')}`,
    );
  }
}

function readSize(prefix: Buffer, order: ByteOrder | undefined): number {
  return order === 'little' ? prefix.readUInt32LE(0) : prefix.readUInt32BE(0);
}

function decode(text: Buffer): RawMessage {
  if (!isUtf8(text)) throw new ProtocolError('a message is not UTF-8');
  let message: unknown;
  try {
    message = JSON.parse(text.toString());
  } catch (error) {
    throw new ProtocolError(`a message is not JSON: ${reasonOf(error)}`);
  }
  if (typeof (message as RawMessage | null)?.type !== 'string' || Array.isArray(message)) {
    throw new ProtocolError('a message is not a JSON object with a text in `type`');
  }
  return message as RawMessage;
}

/** Refuses before anything is allocated. */
function checkSize(what: string, size: unknown, limit: number): void {
  if (!Number.isInteger(size) || (size as number) < 0) throw new ProtocolError(`${what} has no size in bytes`);
  if ((size as number) > limit) {
    throw new ProtocolError(`${what} of ${size as number} bytes: at most ${limit} are allowed`);
  }
}
