/** Devices that connect to the backend, as the real program does with `[[backends]]`. */
import 'reflect-metadata';

import { strict as assert } from 'node:assert';
import * as path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import * as tls from 'node:tls';

import { Logger } from '@nestjs/common';

import { type Alert, EdgeStreams, MemoryCursorStore, type VideoFrame } from '../src';
import { Fleet } from './certificates';
import { closeAll, open } from './client';
import { keyOf, SLOW } from './follow';
import { busyRule, freePort, Program } from './program';
import { NEEDS_PROGRAM, waitUntil } from './support';

Logger.overrideLogger(false);
afterEach(closeAll);

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

  test('alerts, pictures and commands of a device that connects by itself; a restarted backend goes on where it was', async () => {
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

  test('nothing without a certificate of a device that is among the devices', async () => {
    const port = await freePort();
    const streams = await listen(port, [], [], new MemoryCursorStore());
    const ca = fleet.read('ca.pem');
    for (const pair of [
      {},
      fleet.pair('device-edge-02'),
      fleet.pair('backend-control'),
      fleet.pair('elsewhere/device-edge-01'),
    ]) {
      const socket = tls.connect({ port, host: '127.0.0.1', ca, ...pair, checkServerIdentity: () => undefined });
      let ended = false;
      socket.on('error', () => undefined).on('close', () => (ended = true));
      await waitUntil(() => ended, 'hung up');
    }
    assert.equal(streams.device('edge-01')?.connected, false);
  });

  test('a port that is taken fails the start', async () => {
    const port = await freePort();
    await listen(port, [], [], new MemoryCursorStore());
    await assert.rejects(listen(port, [], [], new MemoryCursorStore()), /EADDRINUSE/);
  });
});
