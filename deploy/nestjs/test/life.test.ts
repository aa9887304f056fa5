import { strict as assert } from 'node:assert';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import { type Alert, CommandError, type CursorStore, EdgeError, type EdgeStatus, MemoryCursorStore } from '../src';
import { Client, closeAll, scripted } from './client';
import { makeAlert, makeResult } from './scripted';
import { waitUntil } from './support';

afterEach(closeAll);

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
    assert.deepEqual(
      client.given.map((given) => given.alert_id),
      [alert.alert_id, makeAlert(2).alert_id],
    );
    assert.deepEqual(server.heard, []);
    await assert.rejects(client.edge.command('explain', {}), EdgeError);
  }
});

test('plain: what came before the end is given, however slow the handler was', async () => {
  const server = await scripted({ plain: true });
  const given: string[] = [];
  const slow = async (alert: { alert_id: string }): Promise<void> => {
    await sleep(5);
    given.push(alert.alert_id);
  };
  const client = new Client(server, undefined, { plain: true, alertQueue: 4 }, { alert: slow });
  await client.connected();
  for (let number = 1; number <= 50; number++) server.broadcast(makeAlert(number));
  for (const session of server.sessions) session.socket.end();
  await client.lost();
  await waitUntil(() => given.length === 50, 'all');
  assert.deepEqual(
    given,
    Array.from({ length: 50 }, (_, index) => makeAlert(index + 1).alert_id),
  );
});

test('commands: the answer, an error, none in time, and the same id again after a cut', async () => {
  const server = await scripted();
  const client = await new Client(server).connected();
  assert.deepEqual(await client.edge.command('explain', {}), { rules: [], args: {} });
  await assert.rejects(
    client.edge.command('reset_config', {}),
    new CommandError('unknown_command', 'reset_config: there is no reset_config'),
  );
  const again = client.edge.command('restart_camera', {}, 60_000).catch((error: CommandError) => error.code);
  const ids = (): unknown[] =>
    server.heard.filter((message) => message.cmd === 'restart_camera').map((message) => message.id);
  await waitUntil(() => ids().length === 1, 'the command');
  server.hangUp();
  await waitUntil(() => ids().length === 2, 'the command again');
  assert.equal(new Set(ids()).size, 1);
  const late = client.edge.command('restart_camera', {}, 100).catch((error: CommandError) => error.code);
  assert.equal(await late, 'timeout');
  const long = client.edge.command('set_config', { values: { 'alerts.rules': 'x'.repeat(70_000) } });
  await assert.rejects(long, /the device takes 65536/);
  await client.edge.stop();
  assert.equal(await again, 'closed');
});

test('a gap and a reset are told, and it goes on from there', async () => {
  const server = await scripted();
  const store = new MemoryCursorStore();
  store.save('edge-01', { stream: 'stream-1', seq: 5 });
  server.oldest = 11;
  server.store();
  const client = await new Client(server, store).connected();
  await waitUntil(() => client.given.length === 1, 'the oldest');
  assert.deepEqual(client.of('gap'), [{ deviceId: 'edge-01', event: 'gap', stream: 'stream-1', missed: 5, from: 11 }]);
  Object.assign(server, { stream: 'stream-2', oldest: 1, alerts: [] });
  server.store({ event_uid: 'another' });
  server.hangUp();
  await waitUntil(() => client.given.length === 2, 'the new stream');
  assert.deepEqual(client.of('reset'), [{ deviceId: 'edge-01', event: 'reset', stream: 'stream-2', from: 1 }]);
  await waitUntil(() => store.load('edge-01')?.stream === 'stream-2', 'the cursor');
});

test('a gap is told after the alerts that came before it, however slow the handler is', async () => {
  const server = await scripted();
  const order: unknown[] = [];
  let free = (): void => undefined;
  const alert = async ({ seq }: Alert): Promise<void> => {
    order.push(seq);
    if (seq === 1) await new Promise<void>((resolve) => (free = resolve));
  };
  const statuses: EdgeStatus[] = [];
  const status = (told: EdgeStatus): void => {
    statuses.push(told);
    if (told.event === 'gap') order.push(told.event);
  };
  const connections = (): number => statuses.filter(({ event }) => event === 'connected').length;
  new Client(server, undefined, {}, { alert, status });
  await waitUntil(() => connections() === 1, 'the session');
  server.raise();
  server.raise();
  await waitUntil(() => order.length === 1, 'the first alert');
  Object.assign(server, { oldest: 8, alerts: [] });
  server.store();
  server.hangUp();
  await waitUntil(() => connections() === 2, 'the next session');
  free();
  await waitUntil(() => order.length === 4, 'all');
  assert.deepEqual(order, [1, 2, 'gap', 8]);
});

test('a cursor that does not come, or not as it was saved, is no reason to begin anew in silence', async () => {
  const server = await scripted();
  const never = (): Promise<undefined> => new Promise(() => undefined);
  const save = (): void => undefined;
  for (const [load, reason] of [
    [never, /cursor of edge-01 could not be loaded: no answer in 0.1 s/],
    [() => ({ stream: 'stream-1', seq: '42' }), /`seq` must be the number that was saved, and is a string/],
    [() => ({ stream: 'stream-1', seq: -1 }), /`seq` must be/],
    [() => ({ seq: 4 }), /`stream` must be the text that was saved/],
  ] as Array<[CursorStore['load'], RegExp]>) {
    const client = new Client(server, { load, save }, { timing: { connectMs: 100 } });
    assert.match(await client.lost(), reason);
    await client.edge.stop();
  }
  assert.equal(server.connections, 0);
  server.store();
  const row = { device: 'edge-01', stream: 'stream-1', seq: 0, updated: new Date() };
  const known = await new Client(server, { load: () => row, save }).connected();
  await waitUntil(() => known.given.length === 1, 'the missed one');
  const fresh = await new Client(server, { load: async () => null, save }, { start: 'oldest' }).connected();
  await waitUntil(() => fresh.given.length === 1, 'all');
  assert.deepEqual(fresh.of('reset'), []);
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
  assert.ok(lost?.event === 'lost');
  const { error, ...told } = lost;
  assert.equal(error.message, told.reason);
  assert.deepEqual(told, {
    ...{ deviceId: 'edge-01', event: 'lost', connection: 'main', code: 'slow_consumer', retryMs: 950 },
    reason: 'the device says slow_consumer: too slow',
  });
});

test('stop lets the alert in hand finish, acknowledges it, and leaves the others', async () => {
  const server = await scripted();
  const given: number[] = [];
  const client = new Client(
    server,
    undefined,
    { consumer: 'backend-1' },
    {
      alert: async (alert) => {
        await sleep(50);
        given.push(alert.seq ?? 0);
      },
    },
  );
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

test('stop does not wait for ever for a handler or a store that never answers', async () => {
  const server = await scripted();
  const never = (): Promise<never> => new Promise(() => undefined);
  const handling = await new Client(server, undefined, {}, { alert: never }).connected();
  const loading = new Client(server, { load: never, save: never });
  server.raise();
  server.raise();
  await Promise.all([handling.edge.stop(), loading.edge.stop()]);
  await waitUntil(() => server.sessions.size === 0, 'hung up');
});

test('stop while nobody answers, and twice', async () => {
  const server = await scripted();
  await server.close();
  const client = new Client(server);
  assert.match(await client.lost(), /cannot connect to edge-01 at 127.0.0.1:\d+: nothing listens there.*ECONNREFUSED/);
  await Promise.all([client.edge.stop(), client.edge.stop()]);
});

test('a process that was too busy to read does not take the device for gone', async () => {
  const server = await scripted();
  const client = await new Client(server, undefined, { timing: { idleMs: 400 } }).connected();
  const until = performance.now() + 1_200;
  while (performance.now() < until); // as a handler that computes for long
  const pings = server.heard.length;
  await waitUntil(() => server.heard.length > pings + 2, 'further heartbeats');
  assert.deepEqual(client.of('lost'), []);
});

test('a status handler that fails is a warning of the process, and everything goes on', async () => {
  const server = await scripted();
  const warnings: Error[] = [];
  const hear = (warning: Error): void => void warnings.push(warning);
  process.on('warning', hear);
  const given: number[] = [];
  const alert = (alert: { seq?: number }): void => void given.push(alert.seq ?? 0);
  for (const status of [() => Promise.reject(new Error('no log')), () => assert.fail('no log')]) {
    new Client(server, undefined, {}, { status, alert });
  }
  await waitUntil(() => warnings.length === 2, 'the warnings');
  process.off('warning', hear);
  assert.match(String(warnings[0]), /EdgeWarning: the status handler of edge-01 failed: no log/);
  await waitUntil(() => [...server.sessions].filter((session) => session.greeted).length === 2, 'both');
  server.raise();
  await waitUntil(() => given.length === 2, 'the alert, twice');
});

test('a device was replaced: the other one is refused by its name, and nothing of it is given', async () => {
  const server = await scripted();
  const client = await new Client(server).connected();
  Object.assign(server, { id: 'edge-07' });
  server.store();
  server.hangUp();
  await waitUntil(() => client.of('lost').length >= 2, 'the refusal');
  assert.match(inspect(client.of('lost')[1]), /this is device "edge-07", not "edge-01": correct the address/);
  assert.deepEqual(client.given, []);
});

test('a device that hangs up before its welcome: what that usually means', async () => {
  const server = await scripted({ mute: true });
  assert.match(await new Client(server).lost(), /hung up before its welcome: it speaks TLS there \(then give `tls`\)/);
});
