import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import * as path from 'node:path';
import { afterEach, test } from 'node:test';

import { closeAll, scripted } from './client';
import { waitUntil } from './support';

afterEach(closeAll);

test('a backend that is closed in the middle of everything ends by itself, and rejects nothing unhandled', async () => {
  const server = await scripted();
  const child = spawn(process.execPath, [path.join(__dirname, 'leaver.js'), String(server.port)]);
  let [out, err] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (out += text.toString()));
  child.stderr.on('data', (text: Buffer) => (err += text.toString()));
  const end = new Promise<unknown[]>((resolve) => child.once('close', (...how) => resolve(how)));
  await waitUntil(
    () => [...server.sessions].filter((session) => session.greeted).length === 2,
    () => `both: ${err}`,
  );
  server.raise();
  await waitUntil(
    () => out.includes('warning') && out.includes('alert') && out.includes('lost'),
    () => `it works: ${out}`,
  );
  child.stdin.end();
  assert.deepEqual(await end, [0, null], err);
  assert.match(out, /stopped/);
  assert.match(out, /refused/);
  assert.equal(err, '');
});
