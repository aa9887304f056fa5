/** The package against the real program, `preact-edge run`, on the drawn scene. */
import 'reflect-metadata';

import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createApp } from '../examples/app';
import { FileCursors } from '../examples/file-cursors';
import { type Alert, type DeviceOptions, EdgeDevice, type EdgeStatus, MemoryCursorStore, type VideoFrame } from '../src';
import { Fleet } from './certificates';
import { busyRule, freePort, Program } from './program';
import { NEEDS_PROGRAM, randomFrom, waitUntil } from './support';

const SLOW = 90_000; // a person comes into the drawn scene every few seconds, and the machine may be busy
const open: Array<{ close?(): unknown; stop?(): unknown }> = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await (thing.stop?.() ?? thing.close?.());
});

function keyOf(alert: Alert): string {
  return `${alert.event_uid} ${alert.state}`;
}

/** A client with what it was given. */
function follow(options: DeviceOptions, cursors = new MemoryCursorStore()): { edge: EdgeDevice; given: Alert[]; results: number; frames: VideoFrame[]; statuses: EdgeStatus[] } {
  const seen = { given: [] as Alert[], results: 0, frames: [] as VideoFrame[], statuses: [] as EdgeStatus[] };
  const edge = new EdgeDevice(
    { host: '127.0.0.1', subscribe: ['alerts', 'detections'], ...options },
    {
      alert: (alert) => void seen.given.push(alert),
      detection: () => void seen.results++,
      frame: (frame) => void seen.frames.push(frame),
      status: (status) => void seen.statuses.push(status),
    },
    { cursors },
  );
  open.push(edge);
  edge.start();
  return Object.assign(seen, { edge });
}

function lostReason(statuses: EdgeStatus[]): string | undefined {
  const lost = statuses.find((status) => status.event === 'lost');
  return lost?.event === 'lost' ? lost.reason : undefined;
}

/** All that the device has stored, as who begins at the oldest is given it. */
async function stored(options: DeviceOptions, last: number): Promise<Alert[]> {
  const reader = follow({ ...options, start: 'oldest' });
  await waitUntil(() => (reader.given.at(-1)?.seq ?? 0) >= last, 'everything stored', SLOW);
  await reader.edge.stop();
  return reader.given.filter((alert) => alert.seq !== undefined && alert.seq <= last);
}

describe('one device with every kind of listener', NEEDS_PROGRAM, () => {
  let fleet: Fleet;
  let program: Program;
  const ports = { length: 0, lines: 0, hmac: 0, inside: 0, mtls: 0 };
  let login: { keyId: string; secret: string };

  before(async () => {
    fleet = new Fleet();
    fleet.certs('key', '--role', 'control', '--append', 'keys.toml', 'backend-1');
    login = { keyId: 'backend-1', secret: /secret = "([0-9a-f]+)"/.exec(fleet.read('keys.toml'))?.[1] ?? '' };
    for (const name of Object.keys(ports) as Array<keyof typeof ports>) ports[name] = await freePort();
    const file = (name: string): string => JSON.stringify(fleet.path(name));
    program = new Program(
      'edge-01',
      `${busyRule(4)}
[security]
certificate = ${file('device-edge-01.pem')}
private_key = ${file('device-edge-01.key')}
ca = ${file('ca.pem')}
revocation_list = ${file('crl.pem')}
login_keys = ${file('keys.toml')}
[[listeners]]
host = "127.0.0.1"
port = ${ports.length}
[[listeners]]
host = "127.0.0.1"
port = ${ports.lines}
framing = "newline"
byteorder = "little"
video = true
[[listeners]]
host = "127.0.0.1"
port = ${ports.hmac}
auth = "hmac"
[[listeners]]
host = "127.0.0.1"
port = ${ports.inside}
tls = true
auth = "hmac"
[[listeners]]
host = "127.0.0.1"
port = ${ports.mtls}
framing = "newline"
tls = true
auth = "mtls"
video = true
`,
    );
    await program.start(5);
  });
  after(async () => {
    await program.close();
    fleet.remove();
  });

  function control(): DeviceOptions {
    return { deviceId: 'edge-01', port: ports.mtls, tls: { ca: fleet.read('ca.pem'), ...fleet.pair('backend-control') } };
  }

  for (const name of ['length', 'lines'] as const) {
    for (const plain of [false, true]) {
      test(`${plain ? 'the plain stream' : 'a session'}: ${name}`, async () => {
        const subscribe: DeviceOptions['subscribe'] = name === 'lines' ? ['alerts', 'detections', 'frames'] : ['alerts', 'detections'];
        const client = follow({ deviceId: 'edge-01', port: ports[name], plain, subscribe });
        await waitUntil(() => client.given.length >= 2 && client.results >= 2, `alerts: ${program.log}`, SLOW);
        if (name === 'lines') {
          await waitUntil(() => client.frames.length >= 2, 'pictures', SLOW);
          for (const { jpeg, size } of client.frames) {
            assert.equal(jpeg.length, size);
            assert.equal(jpeg.readUInt16BE(0), 0xffd8);
            assert.equal(jpeg.readUInt16BE(size - 2), 0xffd9);
          }
        }
        assert.equal(client.given[0]?.rule, 'anybody — quién');
        assert.equal(client.given[0]?.device_id, 'edge-01');
        assert.equal(new Set(client.given.map(keyOf)).size, client.given.length);
        assert.equal(lostReason(client.statuses), undefined);
      });
    }
  }

  test('logins: on plain TCP as a viewer, inside TLS as the key says, also with a pinned certificate', async () => {
    const { fingerprint256 } = new X509Certificate(fleet.read('device-edge-01.pem'));
    const roles: unknown[] = [];
    for (const options of [
      { port: ports.hmac },
      { port: ports.inside, tls: { ca: fleet.read('ca.pem') } },
      { port: ports.inside, tls: { fingerprint: fingerprint256 } },
    ]) {
      const client = follow({ deviceId: 'edge-01', auth: login, ...options });
      await waitUntil(() => client.statuses.length > 0, 'an outcome', SLOW);
      const [status] = client.statuses;
      roles.push(status?.event === 'connected' ? status.role : status);
      const refused = client.edge.command('get_status', {}).then(() => 'done', (error: { code: string }) => error.code);
      roles.push(await refused);
    }
    assert.deepEqual(roles, ['viewer', 'forbidden', 'control', 'done', 'control', 'done']);
  });

  test('wrong logins and certificates get nothing', async () => {
    const ca = fleet.read('ca.pem');
    const wrong = { ...login, secret: 'ab'.repeat(32) };
    for (const [options, reason] of [
      [{ port: ports.hmac, auth: wrong }, /auth_failed/],
      [{ port: ports.inside, tls: { ca }, auth: wrong }, /auth_failed/],
      [{ port: ports.hmac }, /give `auth`/],
      [{ port: ports.length, auth: login }, /does not ask for it/],
      [{ port: ports.mtls, tls: { ca } }, /certificate/],
      [{ port: ports.mtls, tls: { ca, ...fleet.pair('elsewhere/device-edge-01') } }, /certificate|unknown ca|broke/],
      [{ port: ports.mtls, tls: { ca, ...fleet.pair('device-edge-02') } }, /auth_failed/],
      [{ port: ports.mtls, tls: { ca: fleet.read('elsewhere/ca.pem'), ...fleet.pair('backend-control') } }, /certificate/],
      [{ port: ports.length, deviceId: 'edge-02' }, /this is device "edge-01"/],
    ] as const) {
      const client = follow({ deviceId: 'edge-01', ...options });
      await waitUntil(() => client.statuses.length > 0, 'an outcome', SLOW);
      assert.match(lostReason(client.statuses) ?? 'connected', reason);
      await client.edge.stop();
    }
  });

  test('commands over mutual TLS, while pictures come on a second connection', async () => {
    const client = follow({ ...control(), subscribe: ['alerts', 'frames', 'health'], frames: { max_fps: 5 } });
    await waitUntil(() => client.frames.length >= 2, 'pictures', SLOW);
    const report = await client.edge.command('get_status', {});
    assert.equal(report.device_id, 'edge-01');
    assert.ok(report.outbox && report.outbox.next_seq >= 1);
    const picture = await client.edge.command('snapshot', { max_width: 320 });
    const jpeg = Buffer.from(picture.jpeg, 'base64');
    assert.deepEqual([jpeg.length, jpeg.readUInt16BE(0), picture.width <= 320], [picture.size, 0xffd8, true]);
    const { changed } = await client.edge.command('set_config', { values: { 'detector.score_threshold': 0.45 } });
    assert.deepEqual(changed, { 'detector.score_threshold': 0.45 });
    await assert.rejects(client.edge.command('set_config', { values: { 'device.id': 'x' } }), { code: 'bad_args' });
    await client.edge.command('reset_config', {});
    const { alerts } = await client.edge.command('get_alerts', { limit: 3 });
    assert.ok(alerts.length <= 3 && alerts.every((alert) => alert.replay));
    const { rules } = await client.edge.command('explain', {});
    assert.equal(rules[0]?.name, 'anybody — quién');
  });

  test('a viewer of mutual TLS gives no commands', async () => {
    const client = follow({ ...control(), tls: { ca: fleet.read('ca.pem'), ...fleet.pair('backend-viewer') } });
    await assert.rejects(client.edge.command('get_status', {}, SLOW), { code: 'forbidden' });
  });

  test('acks are kept for the consumer', async () => {
    const client = follow({ ...control(), consumer: 'nest-test' });
    await waitUntil(() => client.given.some((alert) => alert.seq !== undefined), 'an alert', SLOW);
    await client.edge.stop();
    const acknowledged = client.given.findLast((alert) => alert.seq !== undefined)?.seq;
    const reader = follow({ ...control(), consumer: 'nest-test' });
    const { outbox } = await reader.edge.command('get_status', {}, SLOW);
    assert.ok((outbox?.consumers['nest-test'] ?? 0) >= (acknowledged ?? Infinity));
    await waitUntil(() => reader.given.some((alert) => alert.seq !== undefined), 'the next', SLOW);
    assert.equal(reader.given.find((alert) => alert.seq !== undefined)?.seq, (acknowledged ?? 0) + 1);
  });
});

describe('a device that is killed', NEEDS_PROGRAM, () => {
  for (const framing of ['length', 'newline'] as const) {
    test(`0 lost and 0 repeated over kills and restarts: ${framing}`, async () => {
      const port = await freePort();
      const program = new Program('edge-01', `${busyRule(20)}\n[[listeners]]\nhost = "127.0.0.1"\nport = ${port}\nframing = "${framing}"\n`);
      open.push(program);
      await program.start();
      const options = { deviceId: 'edge-01', port };
      const client = follow(options);
      const random = randomFrom(4);
      for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
        const before = client.given.length;
        await waitUntil(() => client.given.length > before + 5, 'alerts', SLOW);
        await sleep(random() * 100);
        await program.stop(signal);
        await program.start();
      }
      const last = (client.given.findLast((alert) => alert.seq !== undefined)?.seq ?? 0) + 3;
      await waitUntil(() => (client.given.findLast((alert) => alert.seq !== undefined)?.seq ?? 0) >= last, 'more', SLOW);
      assert.equal(new Set(client.given.map(keyOf)).size, client.given.length);
      const given = new Set(client.given.map(keyOf));
      const all = await stored(options, last);
      assert.deepEqual(all.map((alert) => alert.seq), Array.from(all, (_, index) => index + 1));
      const first = client.given.find((alert) => alert.seq !== undefined)?.seq ?? 0;
      assert.deepEqual(all.filter((alert) => (alert.seq ?? 0) >= first && !given.has(keyOf(alert))), []);
      assert.equal(client.statuses.filter((status) => status.event === 'gap' || status.event === 'reset').length, 0);
      assert.ok(client.statuses.filter((status) => status.event === 'connected').length >= 4);
    });
  }

  test('the client program for cut connections goes on where it was', async () => {
    const port = await freePort();
    const program = new Program('edge-01', `${busyRule(20)}\n[[listeners]]\nhost = "127.0.0.1"\nport = ${port}\n`);
    open.push(program);
    await program.start();
    const lines: Alert[] = [];
    for (let run = 1; run <= 3; run++) {
      const child = spawn(process.execPath, [path.join(__dirname, 'chaos-client.js'), '127.0.0.1', String(port), path.join(program.folder, 'cursors')]);
      const before = lines.length;
      collect(child, (line) => lines.push(JSON.parse(line) as Alert));
      await waitUntil(() => lines.length >= before + 5, 'alerts', SLOW);
      const end = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end();
      assert.equal(await end, 0);
    }
    assert.deepEqual(lines.map((alert) => alert.seq), Array.from(lines, (_, index) => index + 1));
    const cursor: unknown = JSON.parse(readFileSync(path.join(program.folder, 'cursors', 'edge-01.json'), 'utf8'));
    assert.deepEqual(cursor, { stream: lines[0]?.stream, seq: lines.length });
  });
});

function collect(child: ChildProcess, take: (line: string) => void): void {
  let rest = '';
  child.stdout?.on('data', (text: Buffer) => {
    const parts = (rest + text.toString()).split('\n');
    rest = parts.pop() ?? '';
    parts.forEach(take);
  });
}

describe('the example application', NEEDS_PROGRAM, () => {
  test('two devices at once, each with a framing of its own', async () => {
    const devices: DeviceOptions[] = [];
    for (const [deviceId, framing] of [['edge-01', 'length'], ['edge-02', 'newline']] as const) {
      const port = await freePort();
      const program = new Program(deviceId, `${busyRule(2)}\n[[listeners]]\nhost = "127.0.0.1"\nport = ${port}\nframing = "${framing}"\n`);
      open.push(program);
      await program.start();
      devices.push({ deviceId, host: '127.0.0.1', port, consumer: 'example' });
    }
    const cursors = new FileCursors(path.join((open[0] as Program).folder, 'cursors'));
    const app = await createApp({ devices, cursors });
    open.push(app);
    const lines: string[] = [];
    const take = (text: unknown): void => void lines.push(String(text));
    app.useLogger({ log: take, warn: take, error: take });
    await app.listen();
    const seqs = (id: string): number[] => lines.flatMap((line) => new RegExp(`^${id} (\\d+): HIGH`).exec(line)?.[1] ?? []).map(Number);
    await waitUntil(() => devices.every(({ deviceId }) => seqs(deviceId).length >= 3), `alerts of both: ${lines.join('\n')}`, SLOW);
    for (const { deviceId } of devices) {
      const [first = 0, ...more] = seqs(deviceId);
      assert.deepEqual([first, ...more], Array.from([first, ...more], (_, index) => first + index));
    }
  });
});
