/**
 * A client for tests that cut its connections: `node dist/test/chaos-client.js HOST PORT FOLDER [DEVICE_ID]`.
 *
 * Prints one JSON line for each alert that the application is given, and keeps its cursor in FOLDER; without one there
 * it begins with the device's oldest alert. What becomes of the connection goes to stderr, a JSON line each. It runs
 * until stdin is closed, then finishes what it has in hand.
 */
import { writeSync } from 'node:fs';

import { FileCursors } from '../examples/file-cursors';
import { EdgeDevice } from '../src';

const [host, port, folder, deviceId = 'edge-01'] = process.argv.slice(2);
if (host === undefined || port === undefined || folder === undefined) {
  console.error('usage: chaos-client HOST PORT FOLDER [DEVICE_ID]');
  process.exit(2);
}

const print = (file: number, line: object): void => void writeSync(file, `${JSON.stringify(line)}\n`);
const device = new EdgeDevice(
  { deviceId, host, port: Number(port), subscribe: ['alerts'], consumer: 'chaos-node', start: 'oldest' },
  {
    alert: ({ stream, seq, event_uid, alert_id, state, durable, replay }) => {
      print(1, { stream, seq, event_uid, alert_id, state, durable, replay });
    },
    status: (status) => print(2, status),
  },
  { cursors: new FileCursors(folder) },
);
device.start();
process.stdin.resume().on('end', () => void device.stop().then(() => process.exit(0)));
