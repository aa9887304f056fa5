import { strict as assert } from 'node:assert';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import {
  type Alert,
  CommandError,
  type CursorStore,
  type DeviceHandlers,
  type DeviceOptions,
  EdgeDevice,
  EdgeError,
  type EdgeOptions,
  type EdgeStatus,
  MemoryCursorStore,
} from '../src';
import { makeAlert, makeResult, ScriptedDevice } from './scripted';
import { randomFrom, waitUntil } from './support';

const open: Array<{ stop?(): unknown; close?(): unknown }> = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await (thing.stop?.() ?? thing.close?.());
});

async function scripted(...args: ConstructorParameters<typeof ScriptedDevice>): Promise<ScriptedDevice> {
  const device = await new ScriptedDevice(...args).listen();
  open.push(device);
  return device;
}

/** A client, and what came out of it. */
class Client {
  readonly given: Alert[] = [];
  readonly statuses: EdgeStatus[] = [];
  readonly edge: EdgeDevice;

  constructor(
    server: ScriptedDevice,
    readonly store: CursorStore = new MemoryCursorStore(),
    options: Partial<DeviceOptions> = {},
    handlers: DeviceHandlers = {},
    shared: Partial<EdgeOptions> = {},
  ) {
    this.edge = new EdgeDevice(
      { deviceId: 'edge-01', host: '127.0.0.1', port: server.port, random: () => 0, ...options },
      { alert: (alert) => void this.given.push(alert), status: (status) => void this.statuses.push(status), ...handlers },
      { cursors: store, ...shared },
    );
    open.push(this.edge);
    this.edge.start();
  }

  get seqs(): Array<number | undefined> {
    return this.given.map((alert) => alert.seq);
  }

  of(event: EdgeStatus['event']): EdgeStatus[] {
    return this.statuses.filter((status) => status.event === event);
  }

  async connected(times = 1): Promise<this> {
    await waitUntil(() => this.of('connected').length >= times, `connected: ${inspect(this.statuses)}`);
    return this;
  }

  /** The reason of the first lost connection. */
  async lost(): Promise<string> {
    await waitUntil(() => this.of('lost').length > 0, 'lost');
    const [status] = this.of('lost');
    return status?.event === 'lost' ? status.reason : '';
  }
}

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

for (const framing of ['length', 'newline'] as const) {
  for (const byteorder of ['big', 'little'] as const) {
    test(`alerts, results and pictures, in writes of 1 to 20,000 bytes: ${framing}, ${byteorder}`, async () => {
      const random = randomFrom(3);
      const server = await scripted({ framing, byteorder, chop: () => 1 + Math.floor(random() * 20_000) });
      const seen = { results: 0, frames: [] as Buffer[] };
      const client = new Client(server, undefined, { subscribe: ['alerts', 'detections', 'frames'] }, {
        detection: () => void seen.results++,
        frame: (frame) => void seen.frames.push(frame.jpeg),
      });
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
      await waitUntil(() => client.edge.connected, 'connected');
      await sleep(random() * 20);
      server.hangUp();
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
  assert.deepEqual(client.given.map((alert) => [alert.seq, alert.replay]), [[1, true]]);
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
  const client = new Client(server, store, {}, {
    alert: async (alert, attempt) => {
      log.push(`${alert.seq}/${attempt}`);
      await sleep(1);
      if (alert.seq === 2 && attempt < 3) {
        assert.equal(store.load('edge-01')?.seq, 1);
        throw new Error('no database');
      }
    },
  });
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

test('a cursor store that fails: nothing is connected before it loads, and nothing goes on before it saves', async () => {
  const server = await scripted();
  const calls: string[] = [];
  const failing = (name: string, times: number): (() => void) => () => {
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
  const client = new Client(server, undefined, { alertQueue: 8, timing: { pauseMs: 200 } }, {
    alert: async (alert) => {
      await gate;
      given.push(alert.seq ?? 0);
    },
  });
  await client.connected();
  for (let number = 1; number <= 100; number++) server.raise();
  assert.match(await client.lost(), /the alert handler did not catch up in 0.2 s/);
  await sleep(400); // longer than the first wait: it does not come back while there is no room
  assert.equal(server.connections, 1);
  release();
  await waitUntil(() => given.length === 100, 'all given');
  assert.deepEqual(given, upTo(100));
  assert.ok(server.connections >= 2);
});

test('a handler that is a little behind makes pauses and keeps the connection', async () => {
  const server = await scripted();
  const client = new Client(server, undefined, { alertQueue: 4 }, { alert: () => sleep(2) });
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
  const client = new Client(server, undefined, { start: 'oldest', alertQueue: 4, timing: { pauseMs: 300 } }, {
    alert: async (alert) => {
      await sleep(20);
      given.push(alert.seq ?? 0);
    },
  });
  assert.match(await client.lost(), /did not catch up/);
  await waitUntil(() => given.length === 60, 'all given', 30_000);
  assert.deepEqual(given, upTo(60));
});

test('results for a slow handler are dropped and counted, the oldest first, while alerts go on', async () => {
  const server = await scripted();
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const seen: number[] = [];
  const client = new Client(server, undefined, {}, {
    detection: async (result) => {
      seen.push(result.frame_id ?? 0);
      if (seen.length === 1) await gate;
    },
  });
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

test('quiet: a ping at each heartbeat keeps the connection, silence ends it', async () => {
  const server = await scripted();
  const client = await new Client(server, undefined, { timing: { idleMs: 250 } }).connected();
  await waitUntil(() => server.heard.filter((message) => message.type === 'ping').length >= 4, 'pings');
  assert.deepEqual(client.of('lost'), []);
  for (const session of server.sessions) session.send = () => undefined;
  assert.match(await client.lost(), /nothing came for 0.25 s/);
});

test('a ping is answered with the same t', async () => {
  const server = await scripted();
  await new Client(server).connected();
  server.broadcast({ type: 'ping', t: 1234.5 });
  await waitUntil(() => server.heard.some((message) => message.type === 'pong' && message.t === 1234.5), 'the pong');
});

const SECRET = 'ab'.repeat(32);
const LOGIN = { keyId: 'backend-1', secret: SECRET };

test('a login on plain TCP', async () => {
  const server = await scripted({ login: LOGIN });
  const client = await new Client(server, undefined, { auth: LOGIN }).connected();
  server.raise();
  await waitUntil(() => client.given.length === 1, 'an alert');
  const shown = inspect(client.edge, { depth: 9, showHidden: true }) + JSON.stringify(client.edge);
  assert.ok(!shown.includes(SECRET) && !JSON.stringify(server.heard).includes(SECRET));
});

for (const [name, script, options, reason] of [
  ['a wrong proof', { login: { ...LOGIN, secret: 'cd'.repeat(32) } }, { auth: LOGIN }, /could not prove/],
  ['no proof', { login: LOGIN, helloOk: { proof: undefined } }, { auth: LOGIN }, /could not prove/],
  ['no login where a key is given', {}, { auth: LOGIN }, /does not ask for it/],
  ['a login where no key is given', { login: LOGIN }, {}, /give `auth`/],
  ['another device', {}, { deviceId: 'edge-02' }, /this is device "edge-01", not "edge-02"/],
  ['no hello', { plain: true }, {}, /use `plain: true`/],
  ['a hello_ok that leaves alerts out', { helloOk: { resume: { status: 'ok', from: 0 } } }, {}, /names no place/],
] as const) {
  test(`refused: ${name}`, async () => {
    const server = await scripted(script);
    const client = new Client(server, undefined, options);
    assert.match(await client.lost(), reason);
    assert.deepEqual(client.of('connected'), []);
    server.raise();
    assert.deepEqual(client.given, []);
  });
}

test('plain: never a byte is sent, and an alert that comes both ways is given once', async () => {
  for (const plain of [true, false]) {
    const server = await scripted({ plain });
    const client = await new Client(server, undefined, { plain: true, timing: { idleMs: 200 } }, {}, {}).connected();
    const alert = makeAlert(1);
    server.broadcast(alert);
    server.broadcast({ ...makeResult(1), alerts: [alert, makeAlert(2)] });
    await waitUntil(() => client.given.length === 2, 'both');
    assert.match(await client.lost(), /nothing came for 0.2 s/);
    assert.deepEqual(client.given.map((given) => given.alert_id), [alert.alert_id, makeAlert(2).alert_id]);
    assert.deepEqual(server.heard, []);
    await assert.rejects(client.edge.command('explain', {}), EdgeError);
  }
});

test('commands: the answer, an error, none in time, and the same id again after a cut', async () => {
  const server = await scripted();
  const client = await new Client(server).connected();
  assert.deepEqual(await client.edge.command('explain', {}), { rules: [], args: {} });
  await assert.rejects(client.edge.command('reset_config', {}), new CommandError('unknown_command', 'reset_config: there is no reset_config'));
  const late = client.edge.command('restart_camera', {}, 1_500).catch((error: CommandError) => error.code);
  const ids = (): unknown[] => server.heard.filter((message) => message.cmd === 'restart_camera').map((message) => message.id);
  await waitUntil(() => ids().length === 1, 'the command');
  server.hangUp();
  await waitUntil(() => ids().length === 2, 'the command again');
  assert.equal(new Set(ids()).size, 1);
  assert.equal(await late, 'timeout');
  const long = client.edge.command('set_config', { values: { 'alerts.rules': 'x'.repeat(70_000) } });
  await assert.rejects(long, /the device takes 65536/);
  const waiting = client.edge.command('restart_camera', {}).catch((error: CommandError) => error.code);
  await client.edge.stop();
  assert.equal(await waiting, 'closed');
});

test('a gap and a reset are told, and it goes on from there', async () => {
  const server = await scripted();
  const store = new MemoryCursorStore();
  store.save('edge-01', { stream: 'stream-1', seq: 5 });
  server.oldest = 11;
  server.store();
  const client = await new Client(server, store).connected();
  await waitUntil(() => client.given.length === 1, 'the oldest');
  assert.deepEqual(client.of('gap'), [{ deviceId: 'edge-01', event: 'gap', missed: 5 }]);
  Object.assign(server, { stream: 'stream-2', oldest: 1, alerts: [] });
  server.store({ event_uid: 'another' });
  server.hangUp();
  await waitUntil(() => client.given.length === 2, 'the new stream');
  assert.deepEqual(client.of('reset'), [{ deviceId: 'edge-01', event: 'reset', stream: 'stream-2', from: 1 }]);
  await waitUntil(() => store.load('edge-01')?.stream === 'stream-2', 'the cursor');
});

test('a jump hangs up and is resumed', async () => {
  const server = await scripted();
  const client = await new Client(server).connected();
  server.store();
  server.raise();
  assert.match(await client.lost(), /after alert 0 of stream stream-1 came 2/);
  await waitUntil(() => client.given.length === 2, 'both');
  assert.deepEqual(client.seqs, [1, 2]);
});

test('complaints are passed on, fatal ones end the connection, and a goodbye is heeded', async () => {
  const server = await scripted();
  const client = await new Client(server).connected();
  server.broadcast({ type: 'error', code: 'too_many_consumers', message: 'no place', fatal: false });
  server.broadcast({ type: 'of a later version' });
  await waitUntil(() => client.of('warning').length === 1, 'the warning');
  server.broadcast({ type: 'goodbye', reason: 'shutdown', retry_after_ms: 700 });
  server.broadcast({ type: 'error', code: 'slow_consumer', message: 'too slow', fatal: true });
  assert.match(await client.lost(), /the device says slow_consumer: too slow/);
  const [lost] = client.of('lost');
  assert.deepEqual(lost, {
    ...{ deviceId: 'edge-01', event: 'lost', connection: 'main', code: 'slow_consumer', retryMs: 950 },
    reason: 'the device says slow_consumer: too slow',
  });
});

test('stop lets the alert in hand finish, acknowledges it, and leaves the others', async () => {
  const server = await scripted();
  const given: number[] = [];
  const client = new Client(server, undefined, { consumer: 'backend-1' }, {
    alert: async (alert) => {
      await sleep(50);
      given.push(alert.seq ?? 0);
    },
  });
  await client.connected();
  for (let number = 1; number <= 10; number++) server.raise();
  await waitUntil(() => given.length === 1, 'the first');
  await client.edge.stop();
  const last = given.length;
  assert.ok(last < 10);
  assert.deepEqual(await client.store.load('edge-01'), { stream: 'stream-1', seq: last });
  await waitUntil(() => server.heard.at(-1)?.type === 'ack', 'the ack');
  assert.equal(server.heard.at(-1)?.seq, last);
  await waitUntil(() => server.sessions.size === 0, 'hung up');
  assert.equal(client.edge.status?.event, 'stopped');
  await assert.rejects(client.edge.command('explain', {}), /was stopped/);
});

test('stop while nobody answers, and twice', async () => {
  const server = await scripted();
  await server.close();
  const client = new Client(server);
  assert.match(await client.lost(), /cannot connect to edge-01 at 127.0.0.1:\d+: .*ECONNREFUSED/);
  await Promise.all([client.edge.stop(), client.edge.stop()]);
});

test('options that cannot work are refused at once', () => {
  const alert = (): void => undefined;
  assert.throws(() => new EdgeDevice({ deviceId: 'edge-01' }, { alert }), /needs a cursor store/);
  assert.throws(() => new EdgeDevice({ deviceId: 'edge-01', consumer: 'a b' }, {}), /consumer "a b" must be/);
  assert.throws(() => new EdgeDevice({ deviceId: 'edge-01', auth: { keyId: 'k', secret: 'short' } }, {}), /hexadecimal/);
  new EdgeDevice({ deviceId: 'edge-01' }, { detection: alert });
});
