import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

import { PREACT_EDGE, waitUntil } from './support';

/**
 * A free port of 127.0.0.1, for listeners that must be found again after a restart. Below those that the system gives
 * to whoever asks for any, so that nobody takes it in between.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = net.createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}

/** Rules that fire for frames of the drawn scene with a person in it, up to `perSecond` times: each once a second. */
export function busyRule(perSecond: number): string {
  const rules = Array.from(
    { length: perSecond },
    (_, index) => `
[[alerts.rules]]
name = "anybody — quién ${index + 1}"
level = "high"
all = ["person"]
hold_hits = 1
hold_frames = 1
cooldown_s = 1.0
`,
  );
  return rules.join('');
}

/** The real program on the drawn scene, in a folder of its own; it can be killed and started again. */
export class Program {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'a device-'));
  log = '';
  private process: ChildProcess | undefined;

  constructor(
    readonly id: string,
    config: string,
  ) {
    // Alerts without a number would come if the disk were slow for a moment; most tests count numbers.
    const state = JSON.stringify(path.join(this.folder, 'state'));
    const common = `[outbox]\nslow_commit_s = 10.0\n[device]\nid = "${id}"\n[storage]\nstate_dir = ${state}\n`;
    writeFileSync(path.join(this.folder, 'edge.toml'), common + config);
  }

  async start(listeners = 1): Promise<this> {
    this.log = '';
    const child = spawn(PREACT_EDGE, ['run', '-c', 'edge.toml'], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process = child;
    for (const output of [child.stdout, child.stderr])
      output.on('data', (text: Buffer) => (this.log += text.toString()));
    const up = (): boolean => this.log.split('listening on').length > listeners;
    await waitUntil(() => up() || child.exitCode !== null, `the program listens: ${this.log}`, 60_000);
    if (!up()) throw new Error(this.log);
    return this;
  }

  /** Ends it with this signal, and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const end = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await end;
  }

  async close(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
