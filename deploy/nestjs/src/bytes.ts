const LEAST_CAPACITY = 4096;

/**
 * Bytes that came and are not read yet. Appending costs time in proportion to what is appended, whatever the size of
 * the pieces: the room doubles, and is given back when everything is read.
 */
export class ByteBuffer {
  private bytes: Buffer = Buffer.alloc(0);
  private start = 0;
  private end = 0;
  private owned = false; // false: `bytes` is a piece as it came, which must not be written to

  get length(): number {
    return this.end - this.start;
  }

  append(piece: Buffer): void {
    if (this.length === 0) {
      this.bytes = piece;
      this.start = 0;
      this.end = piece.length;
      this.owned = false;
      return;
    }
    if (!this.owned || this.end + piece.length > this.bytes.length) this.makeRoom(this.length + piece.length);
    piece.copy(this.bytes, this.end);
    this.end += piece.length;
  }

  /** The next `count` bytes (there must be so many), which stay; valid until the next append. */
  peek(count: number): Buffer {
    return this.bytes.subarray(this.start, this.start + count);
  }

  /** The next `count` bytes (there must be so many), taken off; valid until the next append. */
  take(count: number): Buffer {
    const taken = this.peek(count);
    this.start += count;
    if (this.start === this.end) this.clear();
    return taken;
  }

  /** How many bytes lie before the first `value`, looking from `from` on; -1 without one. */
  indexOf(value: number, from: number): number {
    const index = this.bytes.subarray(0, this.end).indexOf(value, this.start + from);
    return index < 0 ? -1 : index - this.start;
  }

  clear(): void {
    this.bytes = Buffer.alloc(0);
    this.start = this.end = 0;
    this.owned = false;
  }

  private makeRoom(needed: number): void {
    const unread = this.bytes.subarray(this.start, this.end);
    if (this.owned && needed * 2 <= this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
    } else {
      this.bytes = Buffer.allocUnsafe(Math.max(LEAST_CAPACITY, needed * 2));
      unread.copy(this.bytes);
      this.owned = true;
    }
    this.end = unread.length;
    this.start = 0;
  }
}
