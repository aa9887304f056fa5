/** Devices that connect to the backend, as the real program does with `[[backends]]`. */
import 'reflect-metadata';

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import * as net from 'node:net';
import * as path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import * as tls from 'node:tls';

import { Logger } from '@nestjs/common';

import { type Alert, EdgeStreams, MemoryCursorStore, type VideoFrame } from '../src';
import { Fleet } from './certificates';
import { closeAll, open } from './client';
import { keyOf, SLOW } from './follow';
import { busyRule, freePort, Program } from './program';
import { ScriptedDevice, ScriptedSession } from './scripted';
import { NEEDS_PROGRAM, PREACT_EDGE, waitUntil } from './support';

const logged: string[] = [];
const take = (line: unknown): void => void logged.push(String(line));
Logger.overrideLogger({ log: take, warn: take, error: take });
afterEach(closeAll);

/** A device with another authority; Node would not say why it leaves. */
const DIAL = `
import socket, ssl, sys
context = ssl.create_default_context(cafile="elsewhere/ca.pem")
context.check_hostname = False
context.load_cert_chain("device-edge-01.pem", "device-edge-01.key")
context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
`;

describe('a gateway', NEEDS_PROGRAM, () => {
  let fleet: Fleet;
  before(() => void (fleet = new Fleet()));
  after(() => fleet.remove());

  async function listen(
    port: number,
    given: Alert[],
    frames: VideoFrame[],
    cursors: MemoryCursorStore,
  ): Promise<EdgeStreams> {
    const gateway = {
      host: '127.0.0.1',
      port,
      ca: fleet.read('ca.pem'),
      crl: fleet.read('crl.pem'),
      ...fleet.pair('backend-control'),
    };
    const device = {
      deviceId: 'edge-01',
      incoming: true,
      auth: { keyId: 'for the others', secret: 'ab'.repeat(32) },
      plain: false,
      timing: { idleMs: 600_000 },
      subscribe: ['alerts' as const, 'frames' as const],
      frames: { max_fps: 5 },
    };
    const streams = new EdgeStreams({
      gateway,
      cursors,
      devices: [device],
      onAlert: (alert) => void given.push(alert),
    });
    streams.frames$.subscribe(({ message }) => frames.push(message));
    open.push({ stop: () => streams.onModuleDestroy() });
    await streams.onApplicationBootstrap();
    return streams;
  }

  test('alerts, pictures and commands of a device that connects by itself; a new backend goes on there', async () => {
    const port = await freePort();
    const given: Alert[] = [];
    const frames: VideoFrame[] = [];
    const cursors = new MemoryCursorStore();
    const first = await listen(port, given, frames, cursors);
    const file = (name: string): string => JSON.stringify(path.join(fleet.folder, name));
    const program = new Program(
      'edge-01',
      `${busyRule(5)}
[security]
certificate = ${file('device-edge-01.pem')}
private_key = ${file('device-edge-01.key')}
ca = ${file('ca.pem')}
[[listeners]]
host = "127.0.0.1"
port = 0
[[backends]]
host = "127.0.0.1"
port = ${port}
framing = "newline"
video = true
`,
    );
    open.push(program);
    await program.start();
    await waitUntil(() => given.length >= 3 && frames.length >= 2, 'alerts and pictures', SLOW);
    const report = await first.device('edge-01')?.command('get_status', {}, SLOW);
    assert.equal(report?.device_id, 'edge-01');
    await first.onModuleDestroy();
    const before = given.length;
    await listen(port, given, frames, cursors);
    await waitUntil(() => given.length >= before + 3, 'more alerts', SLOW);
    assert.equal(new Set(given.map(keyOf)).size, given.length);
    const [start = 0] = given.map(({ seq }) => seq);
    assert.deepEqual(
      given.map(({ seq }) => seq),
      Array.from(given, (_, index) => start + index),
    );
  });

  function arrive(port: number, pair: object = fleet.pair('device-edge-01')): tls.TLSSocket {
    const socket = tls.connect({
      ...{ port, host: '127.0.0.1', ca: fleet.read('ca.pem') },
      ...{ checkServerIdentity: () => undefined, ...pair },
    });
    open.push({ stop: () => socket.destroy() });
    return socket.on('error', () => undefined);
  }

  test('a device that comes anew is taken when its older connection is dead, and not when that lives', async () => {
    const port = await freePort();
    const given: Alert[] = [];
    const streams = await listen(port, given, [], new MemoryCursorStore());
    let connected = 0;
    const lost: string[] = [];
    streams.status$.subscribe((status) => {
      if (status.event === 'connected') connected++;
      if (status.event === 'lost') lost.push(status.reason);
    });
    const device = new ScriptedDevice();
    const first = new ScriptedSession(device, arrive(port));
    await waitUntil(() => connected === 1, 'connected');
    new ScriptedSession(device, arrive(port)); // as of a copied card
    const pings = (): number => device.heard.filter(({ type }) => type === 'ping').length;
    await waitUntil(() => pings() === 1, 'the older one is asked');
    device.raise();
    await waitUntil(() => given.length === 1, 'and lives');
    assert.deepEqual([connected, lost], [1, []]);
    first.send = () => undefined; // as when the power was cut: no end, no answer
    new ScriptedSession(device, arrive(port));
    await waitUntil(() => connected === 2, 'the newer one');
    assert.match(lost.join(), /nothing came for/);
    device.raise();
    await waitUntil(() => given.length === 2, 'its alert');
  });

  test('the end of it ends who has not done his handshake', async () => {
    const port = await freePort();
    const streams = await listen(port, [], [], new MemoryCursorStore());
    const silent = net.connect(port, '127.0.0.1').on('error', () => undefined);
    let ended = false;
    silent.on('close', () => (ended = true));
    await new Promise((resolve) => silent.once('connect', resolve));
    const device = new ScriptedDevice();
    new ScriptedSession(device, arrive(port));
    await waitUntil(() => streams.device('edge-01')?.connected, 'who came after it');
    await streams.onModuleDestroy();
    await waitUntil(() => ended, 'its end', 8_000); // by itself it would be given 10 s
  });

  test('nothing without a certificate of a device that is among the devices', async () => {
    const port = await freePort();
    const streams = await listen(port, [], [], new MemoryCursorStore());
    fleet.sign('expired', 'urn:preact-edge:device:edge-01', -10, -1);
    for (const [pair, line] of [
      [{}, /connection to the gateway failed: it shows no certificate/],
      [fleet.pair('device-edge-02'), /edge-02 is not among the devices/],
      [fleet.pair('backend-control'), /no device is not among the devices/],
      [fleet.pair('elsewhere/device-edge-01'), /gateway failed: its certificate is not of the authority in `ca`/],
      [fleet.pair('expired'), /gateway failed: its certificate has expired: renew it/],
    ] as const) {
      let ended = false;
      logged.length = 0;
      arrive(port, pair).on('close', () => (ended = true));
      await waitUntil(() => ended && logged.length > 0, `hung up, and told of: ${line}`);
      assert.match(logged.join('\n'), line);
    }
    assert.equal(streams.device('edge-01')?.connected, false);
  });

  test('a device that refuses the backend: it is told why', async () => {
    const port = await freePort();
    await listen(port, [], [], new MemoryCursorStore());
    logged.length = 0;
    const device = spawn(path.join(path.dirname(PREACT_EDGE), 'python'), ['-c', DIAL, String(port)], {
      ...{ cwd: fleet.folder, stdio: 'ignore' },
    });
    open.push({ stop: () => device.kill() });
    await waitUntil(() => logged.length > 0, 'a line');
    assert.match(logged.join(), /gateway failed: it does not know the authority of our certificate: take one/);
  });

  test('a port that is taken fails the start', async () => {
    const port = await freePort();
    await listen(port, [], [], new MemoryCursorStore());
    await assert.rejects(listen(port, [], [], new MemoryCursorStore()), /EADDRINUSE/);
  });
});
