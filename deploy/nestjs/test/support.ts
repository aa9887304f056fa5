import { strict as assert } from 'node:assert';
import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The checkout: tests are run from dist/test. */
export const ROOT = path.resolve(__dirname, '../../../..');
export const PREACT_EDGE = process.env.PREACT_EDGE_BIN ?? path.join(ROOT, '.venv/bin/preact-edge');

/** One of the files that the Python tests read too. */
export function vectors(name: string): any {
  return JSON.parse(readFileSync(path.join(ROOT, 'tests/vectors', name), 'utf8'));
}

/** Returns as soon as `predicate` holds; fails when that takes too long. */
export async function waitUntil(
  predicate: () => unknown,
  what: string | (() => string),
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!predicate()) {
    const late = (): string => `still not so after ${timeoutMs / 1_000} s: ${typeof what === 'string' ? what : what()}`;
    if (performance.now() >= deadline) assert.fail(late());
    await sleep(5);
  }
}

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Cuts bytes into pieces of random sizes. */
export function chop(data: Buffer, random: () => number, most: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let start = 0; start < data.length;) {
    const size = 1 + Math.floor(random() * most);
    pieces.push(data.subarray(start, start + size));
    start += size;
  }
  return pieces;
}

/** What `test` is to do where the program is not there: be skipped, saying so; in CI it must be there. */
export const NEEDS_PROGRAM = {
  skip: existsSync(PREACT_EDGE) || process.env.CI === 'true' ? false : `there is no ${PREACT_EDGE} (PREACT_EDGE_BIN)`,
};
