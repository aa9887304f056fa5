import {
  type Alert,
  type DeviceOptions,
  EdgeDevice,
  type EdgeStatus,
  MemoryCursorStore,
  type VideoFrame,
} from '../src';
import { open } from './client';
import { waitUntil } from './support';

export const SLOW = 90_000; // a person comes into the drawn scene every few seconds, and the machine may be busy

export function keyOf(alert: Alert): string {
  return `${alert.event_uid} ${alert.state} ${alert.threat_level}`;
}

/** A client with what it was given. */
export function follow(
  options: DeviceOptions,
  cursors = new MemoryCursorStore(),
): { edge: EdgeDevice; given: Alert[]; results: number; frames: VideoFrame[]; statuses: EdgeStatus[] } {
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

export function lostReason(statuses: EdgeStatus[]): string | undefined {
  const lost = statuses.find((status) => status.event === 'lost');
  return lost?.event === 'lost' ? lost.reason : undefined;
}

/** All that the device has stored, as who begins at the oldest is given it. */
export async function stored(options: DeviceOptions, last: number): Promise<Alert[]> {
  const reader = follow({ ...options, start: 'oldest' });
  await waitUntil(() => (reader.given.at(-1)?.seq ?? 0) >= last, 'everything stored', SLOW);
  await reader.edge.stop();
  return reader.given.filter((alert) => alert.seq !== undefined && alert.seq <= last);
}
