import { strict as assert } from 'node:assert';
import { test } from 'node:test';

import {
  type ByteOrder,
  detect,
  encode,
  type Framing,
  isServerMessage,
  MAX_JPEG,
  MAX_JSON,
  MessageReader,
  ProtocolError,
  type RawMessage,
} from '../src';
import { chop, randomFrom, vectors } from './support';

interface Vector {
  name: string;
  framing?: Framing;
  byteorder?: ByteOrder | null;
  hex: string;
  messages: Array<{ message: object; jpeg?: string }>;
}

const { good, bad } = vectors('framing.json') as { good: Vector[]; bad: Vector[] };
const FORMS: Array<[Framing, ByteOrder]> = [
  ['length', 'big'],
  ['length', 'little'],
  ['newline', 'big'],
  ['newline', 'little'],
];

function drain(reader: MessageReader, into: RawMessage[]): void {
  for (let message = reader.next(); message; message = reader.next()) into.push(message);
}

function readAll(pieces: Buffer[], reader = new MessageReader(), messages: RawMessage[] = []): RawMessage[] {
  for (const piece of pieces) {
    reader.push(piece);
    drain(reader, messages);
  }
  return messages;
}

function expected(vector: Vector): object[] {
  return vector.messages.map(({ message, jpeg }) =>
    jpeg === undefined ? message : { ...message, jpeg: Buffer.from(jpeg, 'hex') },
  );
}

/** Whole, byte by byte, five at once, and cut in two at every place. */
function* cuts(data: Buffer): Generator<Buffer[]> {
  for (const step of [data.length, 1, 5]) {
    yield Array.from({ length: Math.ceil(data.length / step) }, (_, n) => data.subarray(n * step, (n + 1) * step));
  }
  for (let place = 1; place < data.length; place++) yield [data.subarray(0, place), data.subarray(place)];
}

function picture(size: number, order: ByteOrder, content: number): Buffer {
  const prefix = Buffer.alloc(4);
  if (order === 'big') prefix.writeUInt32BE(size);
  else prefix.writeUInt32LE(size);
  return Buffer.concat([prefix, Buffer.alloc(size, content)]);
}

for (const vector of good) {
  test(`vector, whatever the pieces: ${vector.name}`, () => {
    for (const pieces of cuts(Buffer.from(vector.hex, 'hex'))) {
      const reader = new MessageReader();
      assert.deepEqual(readAll(pieces, reader), expected(vector));
      assert.equal(reader.framing, vector.framing);
      if (vector.byteorder) assert.equal(reader.byteorder, vector.byteorder);
      assert.ok(reader.betweenMessages);
    }
  });
}

for (const vector of bad) {
  test(`refused after what was good: ${vector.name}`, () => {
    for (const pieces of cuts(Buffer.from(vector.hex, 'hex'))) {
      const reader = new MessageReader();
      const messages: RawMessage[] = [];
      assert.throws(() => readAll(pieces, reader, messages), ProtocolError);
      assert.deepEqual(messages, expected(vector));
      assert.throws(() => reader.next(), ProtocolError);
    }
  });
}

for (const [framing, order] of FORMS) {
  test(`a long stream outside ASCII in writes of 1 to 20,000 bytes: ${framing}, ${order}`, () => {
    const random = randomFrom(framing.length * 31 + order.length);
    const parts = [encode({ type: 'welcome' }, framing, order)];
    const sent: object[] = [{ type: 'welcome' }];
    for (let number = 0; number < 400; number++) {
      const text = '¡niño! 刀 🔪 Ж'.repeat(Math.floor(random() * 60));
      const alert = { type: 'alert', seq: number, message: text };
      sent.push(alert);
      parts.push(encode(alert, framing, order));
      if (number % 10 === 0) {
        const size = Math.floor(random() * 60_000);
        const header = { type: 'video_frame', frame_id: number, size };
        parts.push(encode(header, framing, order), picture(size, order, 0x0a));
        sent.push({ ...header, jpeg: Buffer.alloc(size, 0x0a) });
      }
    }
    for (const most of [20_000, 3]) assert.deepEqual(readAll(chop(Buffer.concat(parts), random, most)), sent);
  });
}

test('a whole session, both sides', () => {
  const lines = vectors('session.json') as Array<{ from: string; hex: string; message: { type: string } }>;
  for (const side of ['device', 'client']) {
    const said = lines.filter(({ from }) => from === side);
    assert.deepEqual(
      readAll(said.map(({ hex }) => Buffer.from(hex, 'hex'))),
      said.map(({ message }) => message),
    );
    for (const { hex, message } of said) {
      const wholeNumbers = !Buffer.from(hex, 'hex').toString().includes('.0'); // JavaScript writes no 7.0
      if (wholeNumbers) assert.equal(encode(message, 'length').toString('hex'), hex);
    }
  }
});

test('every message of the specification is of a known type', () => {
  const messages = Object.values(vectors('messages.json') as Record<string, { type: string }>);
  assert.deepEqual(
    messages.filter((message) => !isServerMessage(message)),
    [],
  );
});

test('every size that a welcome can have tells its byte order', () => {
  for (let size = 2; size < 65536; size++) {
    const probe = Buffer.from([0, 0, 0, 0, 0x7b]);
    probe.writeUInt32BE(size);
    assert.deepEqual(detect(probe), { framing: 'length', byteorder: 'big' });
    probe.writeUInt32LE(size);
    const palindrome = probe.readUInt32BE(0) === size;
    assert.deepEqual(detect(probe), { framing: 'length', byteorder: palindrome ? 'big' : 'little' });
  }
});

test('a size above the limit is refused before its bytes come', () => {
  const reader = new MessageReader();
  assert.throws(
    () => readAll([encode({ type: 'welcome' }, 'length'), Buffer.from([0, 0x10, 0, 1])], reader),
    new ProtocolError(`a message of ${MAX_JSON + 1} bytes: at most ${MAX_JSON} are allowed`),
  );
  const line = new MessageReader();
  assert.deepEqual(readAll([Buffer.alloc(MAX_JSON, 'x')], line), []);
  assert.throws(() => readAll([Buffer.from('x')], line), ProtocolError);
});

test('the greatest message and picture pass, also in the smallest pieces', () => {
  const longest = { type: 'x'.repeat(MAX_JSON - 11) };
  const frame = { type: 'video_frame', size: MAX_JPEG };
  const head = [encode({ type: 'welcome' }, 'length'), encode(longest, 'length'), encode(frame, 'length')];
  const messages = readAll(chop(Buffer.concat([...head, picture(MAX_JPEG, 'big', 7)]), randomFrom(5), 40));
  assert.equal(messages[1]?.type.length, MAX_JSON - 11);
  assert.equal(messages[2]?.jpeg?.length, MAX_JPEG);
  assert.throws(() => encode({ type: `${longest.type}x` }, 'newline'), ProtocolError);
});

test('a picture stays as it is when more comes', () => {
  const reader = new MessageReader();
  const header = encode({ type: 'video_frame', size: 3 }, 'length');
  const first = readAll(
    [...chop(Buffer.concat([encode({ type: 'welcome' }, 'length'), header, picture(3, 'big', 1)]), randomFrom(1), 4)],
    reader,
  );
  const kept = first[1]?.jpeg;
  readAll(chop(Buffer.concat([header, picture(3, 'big', 2)]), randomFrom(2), 4), reader);
  assert.deepEqual(kept, Buffer.from([1, 1, 1]));
});

test('garbage gives messages or a ProtocolError', () => {
  const random = randomFrom(9);
  for (let run = 0; run < 2_000; run++) {
    const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 300) }, () => Math.floor(random() * 256)));
    try {
      readAll(chop(bytes, random, 50));
    } catch (error) {
      assert.ok(error instanceof ProtocolError);
    }
  }
});
