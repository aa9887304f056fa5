import { strict as assert } from 'node:assert';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import { type Alert, type CursorStore, MemoryCursorStore } from '../src';
import { Client, closeAll, scripted, upTo } from './client';
import { makeAlert, makeResult } from './scripted';
import { randomFrom, waitUntil } from './support';

afterEach(closeAll);

for (const framing of ['length', 'newline'] as const) {
  for (const byteorder of ['big', 'little'] as const) {
    test(`alerts, results and pictures, in writes of 1 to 20,000 bytes: ${framing}, ${byteorder}`, async () => {
      const random = randomFrom(3);
      const server = await scripted({ framing, byteorder, chop: () => 1 + Math.floor(random() * 20_000) });
      const seen = { results: 0, frames: [] as Buffer[] };
      const client = new Client(
        server,
        undefined,
        { subscribe: ['alerts', 'detections', 'frames'] },
        {
          detection: () => void seen.results++,
          frame: (frame) => void seen.frames.push(frame.jpeg),
        },
      );
      await client.connected(2);
      for (let number = 1; number <= 50; number++) server.raise();
      for (let number = 1; number <= 20; number++) server.broadcast(makeResult(number));
      const jpeg = Buffer.alloc(90_000, 0x0a);
      server.broadcast({ type: 'video_frame', frame_id: 1, size: jpeg.length }, jpeg);
      await waitUntil(() => seen.frames.length === 1 && client.given.length === 50 && seen.results >= 20, 'all came');
      assert.deepEqual(seen.frames, [jpeg]); // from the second connection alone
      assert.deepEqual(client.seqs, upTo(50));
      assert.equal(client.given[0]?.message, makeAlert(1).message);
    });
  }
}

test('0 lost and 0 repeated over random cuts', async () => {
  const random = randomFrom(11);
  const server = await scripted({ chop: () => 1 + Math.floor(random() * 200) });
  const client = await new Client(server).connected();
  for (let number = 1; number <= 400; number++) {
    server.raise();
    await sleep(random() * 5);
    if (number % 40 === 0) {
      await client.connected(number / 40);
      await sleep(random() * 20);
      server.hangUp();
      await waitUntil(() => client.of('lost').length === number / 40, 'it noticed');
    }
  }
  await waitUntil(() => client.given.length >= 400, 'all came');
  assert.deepEqual(client.seqs, upTo(400));
  assert.ok(client.of('connected').length >= 10);
  assert.deepEqual(client.of('gap'), []);
});

test('what comes before hello_ok does not count', async () => {
  const early = { ...makeAlert(7), durable: true, stream: 'stream-1', seq: 1 };
  const server = await scripted({ early: [early, { ...makeAlert(8), durable: false }] });
  const store = new MemoryCursorStore();
  store.save('edge-01', { stream: 'stream-1', seq: 0 });
  server.store();
  const client = await new Client(server, store).connected();
  await waitUntil(() => client.given.length > 0, 'the replay');
  assert.deepEqual(
    client.given.map((alert) => [alert.seq, alert.replay]),
    [[1, true]],
  );
});

test('the next process goes on where the cursor is, also when the first one had no alert', async () => {
  const server = await scripted();
  const store = new MemoryCursorStore();
  server.store();
  const first = await new Client(server, store).connected();
  await waitUntil(() => store.load('edge-01'), 'the beginning is saved');
  await first.edge.stop();
  assert.deepEqual(first.given, []);
  server.store();
  server.store();
  const second = await new Client(server, store).connected();
  await waitUntil(() => second.given.length === 2, 'the missed ones');
  assert.deepEqual(second.seqs, [2, 3]);
  assert.ok(second.given.every((alert) => alert.replay));
  await waitUntil(() => store.load('edge-01')?.seq === 3, 'the cursor');
});

test('the beginning can be the oldest alert, or what this consumer acknowledged', async () => {
  const server = await scripted();
  server.store();
  server.store();
  const oldest = await new Client(server, undefined, { start: 'oldest' }).connected();
  await waitUntil(() => oldest.given.length === 2, 'all');
  assert.deepEqual(oldest.of('reset'), []);
  await new Client(server, undefined, { consumer: 'backend-1' }).connected();
  const hello = server.heard.findLast((message) => message.type === 'hello');
  assert.equal(hello?.resume, 'last_ack');
  assert.equal(hello?.consumer, 'backend-1');
});

test('acks follow the handler, the latest for all', async () => {
  const server = await scripted();
  const client = await new Client(server, undefined, { consumer: 'backend-1' }).connected();
  for (let number = 1; number <= 20; number++) server.raise();
  const acks = (): unknown[] => server.heard.filter((message) => message.type === 'ack');
  await waitUntil(() => acks().length > 0 && client.given.length === 20, 'an ack');
  await waitUntil(() => (acks().at(-1) as { seq: number }).seq === 20, 'the last ack');
  assert.ok(acks().length < 20);
});

test('a handler that fails is given the alert again, and nothing overtakes it', async () => {
  const server = await scripted();
  const log: string[] = [];
  const store = new MemoryCursorStore();
  const client = new Client(
    server,
    store,
    {},
    {
      alert: async (alert, attempt) => {
        log.push(`${alert.seq}/${attempt}`);
        await sleep(1);
        if (alert.seq === 2 && attempt < 3) {
          assert.equal(store.load('edge-01')?.seq, 1);
          throw new Error('no database');
        }
      },
    },
  );
  await client.connected();
  for (let number = 1; number <= 3; number++) server.raise();
  await waitUntil(() => store.load('edge-01')?.seq === 3, 'all handled');
  assert.deepEqual(log, ['1/1', '2/1', '2/2', '2/3', '3/1']);
  assert.match(inspect(client.of('warning')), /alert_1710000002 was not handled: no database; again in 0.3 s/);
});

test('an alert that cannot be handled can be given up', async () => {
  const server = await scripted();
  const store = new MemoryCursorStore();
  const fail = (): never => assert.fail('poison');
  const asked: number[] = [];
  const giveUp = (_alert: Alert, _error: unknown, attempt: number): boolean => asked.push(attempt) === 2;
  const client = await new Client(server, store, {}, { alert: fail }, { giveUp }).connected();
  server.raise();
  await waitUntil(() => store.load('edge-01')?.seq === 1, 'left out');
  assert.deepEqual(asked, [1, 2]);
  assert.equal(client.given.length, 0);
});

test('a cursor store that fails: no connection before it loads, no further alert before it saves', async () => {
  const server = await scripted();
  const calls: string[] = [];
  const failing =
    (name: string, times: number): (() => void) =>
    () => {
      calls.push(name);
      if (calls.filter((call) => call === name).length <= times) throw new Error('the database is away');
    };
  const load = failing('load', 2);
  const save = failing('save', 3);
  const store: CursorStore = { load: async () => load() as undefined, save: async () => save() };
  const client = await new Client(server, store).connected();
  assert.deepEqual(calls.slice(0, 2), ['load', 'load']);
  assert.match(await client.lost(), /cursor of edge-01 could not be loaded: the database is away/);
  assert.equal(server.connections, 1);
  server.raise();
  server.raise();
  await waitUntil(() => client.given.length === 2, 'both given');
  assert.deepEqual(client.seqs, [1, 2]);
  assert.match(inspect(client.of('warning')), /the cursor was not saved: the database is away/);
});

test('a handler that is far behind: reading pauses, hangs up at its bound, and resumes with nothing lost', async () => {
  const server = await scripted();
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const given: number[] = [];
  const client = new Client(
    server,
    undefined,
    { alertQueue: 8, timing: { pauseMs: 200 } },
    {
      alert: async (alert) => {
        await gate;
        given.push(alert.seq ?? 0);
      },
    },
  );
  await client.connected();
  for (let number = 1; number <= 100; number++) server.raise();
  assert.match(await client.lost(), /the alert handler or the cursor store did not catch up in 0.2 s/);
  const refused = new Client(await scripted(), undefined, { deviceId: 'edge-02' });
  await waitUntil(() => refused.of('lost').length >= 4, 'four attempts of another client, each after the same wait');
  assert.equal(server.connections, 1); // it does not come back while there is no room
  release();
  await waitUntil(() => given.length === 100, 'all given');
  assert.deepEqual(given, upTo(100));
  assert.ok(server.connections >= 2);
});

test('a handler that is a little behind makes pauses and keeps the connection', async () => {
  const server = await scripted();
  const client = new Client(
    server,
    undefined,
    { alertQueue: 4, timing: { pauseMs: 60_000 } },
    { alert: () => sleep(2) },
  );
  await client.connected();
  const done = new Promise<void>((resolve) => {
    const store = client.store as MemoryCursorStore;
    const timer = setInterval(() => store.load('edge-01')?.seq === 200 && (clearInterval(timer), resolve()), 5);
  });
  for (let number = 1; number <= 200; number++) server.raise();
  await done;
  assert.equal(server.connections, 1);
});

test('many short pauses, in which the socket is never read, count as one long one', async () => {
  const server = await scripted();
  for (let number = 1; number <= 60; number++) server.store(); // come in one piece
  const given: number[] = [];
  const client = new Client(
    server,
    undefined,
    { start: 'oldest', alertQueue: 4, timing: { pauseMs: 300 } },
    {
      alert: async (alert) => {
        await sleep(20);
        given.push(alert.seq ?? 0);
      },
    },
  );
  assert.match(await client.lost(), /did not catch up/);
  await waitUntil(() => given.length === 60, 'all given', 30_000);
  assert.deepEqual(given, upTo(60));
});

test('results for a slow handler are dropped and counted, the oldest first, while alerts go on', async () => {
  const server = await scripted();
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const seen: number[] = [];
  const client = new Client(
    server,
    undefined,
    {},
    {
      detection: async (result) => {
        seen.push(result.frame_id ?? 0);
        if (seen.length === 1) await gate;
      },
    },
  );
  await client.connected();
  for (let number = 1; number <= 200; number++) server.broadcast(makeResult(number));
  server.raise();
  await waitUntil(() => client.given.length === 1, 'the alert');
  assert.equal(client.edge.dropped.detections, 200 - 1 - 64);
  release();
  await waitUntil(() => seen.at(-1) === 200, 'the newest');
  assert.deepEqual(seen, [1, ...upTo(200, 137)]);
});

test('a burst in one piece is no reason to drop, when the handler is quick', async () => {
  const server = await scripted();
  let seen = 0;
  const client = new Client(server, undefined, {}, { detection: async () => void seen++ });
  await client.connected();
  for (let number = 1; number <= 2000; number++) server.broadcast(makeResult(number));
  await waitUntil(() => seen === 2000, `all: ${seen}`);
  assert.equal(client.edge.dropped.detections, 0);
});
