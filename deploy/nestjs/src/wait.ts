import { setTimeout as sleep } from 'node:timers/promises';

/** Waits; false when `signal` ended it early. */
export async function wait(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
