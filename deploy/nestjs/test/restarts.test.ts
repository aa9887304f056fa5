/** The package against the real program: kills, restarts, and the example application with two devices. */
import 'reflect-metadata';

import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createApp } from '../examples/app';
import { FileCursors } from '../examples/file-cursors';
import type { Alert, DeviceOptions } from '../src';
import { closeAll, open } from './client';
import { follow, keyOf, SLOW, stored } from './follow';
import { busyRule, freePort, Program } from './program';
import { NEEDS_PROGRAM, randomFrom, waitUntil } from './support';

afterEach(closeAll);

describe('a device that is killed', NEEDS_PROGRAM, () => {
  for (const framing of ['length', 'newline'] as const) {
    test(`0 lost and 0 repeated over kills and restarts: ${framing}`, async () => {
      const port = await freePort();
      const program = new Program(
        'edge-01',
        `${busyRule(20)}\n[[listeners]]\nhost = "127.0.0.1"\nport = ${port}\nframing = "${framing}"\n`,
      );
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
      await waitUntil(
        () => (client.given.findLast((alert) => alert.seq !== undefined)?.seq ?? 0) >= last,
        'more',
        SLOW,
      );
      assert.equal(new Set(client.given.map(keyOf)).size, client.given.length);
      const given = new Set(client.given.map(keyOf));
      const all = await stored(options, last);
      assert.deepEqual(
        all.map((alert) => alert.seq),
        Array.from(all, (_, index) => index + 1),
      );
      const first = client.given.find((alert) => alert.seq !== undefined)?.seq ?? 0;
      assert.deepEqual(
        all.filter((alert) => (alert.seq ?? 0) >= first && !given.has(keyOf(alert))),
        [],
      );
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
      const child = spawn(process.execPath, [
        path.join(__dirname, 'chaos-client.js'),
        '127.0.0.1',
        String(port),
        path.join(program.folder, 'cursors'),
      ]);
      const before = lines.length;
      collect(child, (line) => lines.push(JSON.parse(line) as Alert));
      await waitUntil(() => lines.length >= before + 5, 'alerts', SLOW);
      const end = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end();
      assert.equal(await end, 0);
    }
    assert.deepEqual(
      lines.map((alert) => alert.seq),
      Array.from(lines, (_, index) => index + 1),
    );
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
    for (const [deviceId, framing] of [
      ['edge-01', 'length'],
      ['edge-02', 'newline'],
    ] as const) {
      const port = await freePort();
      const program = new Program(
        deviceId,
        `${busyRule(2)}\n[[listeners]]\nhost = "127.0.0.1"\nport = ${port}\nframing = "${framing}"\n`,
      );
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
    const seqs = (id: string): number[] =>
      lines.flatMap((line) => new RegExp(`^${id} (\\d+): HIGH`).exec(line)?.[1] ?? []).map(Number);
    await waitUntil(
      () => devices.every(({ deviceId }) => seqs(deviceId).length >= 3),
      `alerts of both: ${lines.join('\n')}`,
      SLOW,
    );
    for (const { deviceId } of devices) {
      const [first = 0, ...more] = seqs(deviceId);
      assert.deepEqual(
        [first, ...more],
        Array.from([first, ...more], (_, index) => first + index),
      );
    }
  });
});
