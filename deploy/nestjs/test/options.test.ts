/** Options that cannot work are refused when they are given, each by its name. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { type DeviceOptions, EdgeDevice, EdgeError, type EdgeOptions, EdgeStreams, EdgeTransport } from '../src';

const cursors = { load: () => undefined, save: () => undefined };
const alert = (): void => undefined;

function refused(make: () => unknown, reason: RegExp): void {
  assert.throws(make, (error) => {
    assert.ok(error instanceof EdgeError, inspect(error));
    assert.match(error.message, reason);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

const WRONG: Array<[object, RegExp]> = [
  [{ deviceId: '' }, /no `deviceId`/],
  [{ deviceId: undefined }, /no `deviceId`/],
  [{ host: '' }, /`host` must be a host name or an address alone/],
  [{ host: 'tcp://10.0.0.21' }, /`host` must be/],
  [{ host: '10.0.0.21:8080' }, /`host` must be/],
  [{ host: '[::1]' }, /`host` must be/],
  [{ host: 7 }, /`host` must be/],
  [{ port: '8080' }, /`port` must be a whole number from 1 to 65535/],
  [{ port: 0 }, /`port` must be/],
  [{ port: 65_536 }, /`port` must be/],
  [{ port: NaN }, /`port` must be/],
  [{ plain: 'yes' }, /`plain` must be true or false/],
  [{ incoming: 1 }, /`incoming` must be true or false/],
  [{ consumer: 'a b' }, /`consumer` must be 1 to 64 letters, digits/],
  [{ consumer: '' }, /`consumer` must be/],
  [{ consumer: 'ü' }, /`consumer` must be/],
  [{ consumer: 'x'.repeat(65) }, /`consumer` must be/],
  [{ subscribe: ['alert'] }, /`subscribe` must be a list of alerts, detections, frames, health/],
  [{ subscribe: 'alerts' }, /`subscribe` must be/],
  [{ start: 'begin' }, /`start` must be one of now, oldest, last_ack/],
  [{ start: 'last_ack' }, /`start` "last_ack" needs a `consumer`/],
  [{ alertQueue: 0 }, /`alertQueue` must be a whole number from 1 to 100000/],
  [{ alertQueue: Infinity }, /`alertQueue` must be/],
  [{ random: 0.5 }, /`random` must be a function/],
  [{ timing: { idleMs: 0 } }, /`timing.idleMs` must be a number of milliseconds above 0/],
  [{ timing: { connectMs: Infinity } }, /`timing.connectMs` must be/],
  [{ timing: { pauseMs: 2 ** 31 } }, /`timing.pauseMs` must be/],
  [{ timing: 5 }, /`timing` must be an object/],
  [{ frames: { max_fps: 0 } }, /`frames.max_fps` must be a number above 0 and up to 240/],
  [{ frames: { quality: 5 } }, /`frames.quality` must be a whole number from 10 to 100/],
  [{ frames: { annotated: 'no' } }, /`frames.annotated` must be true or false/],
  [{ auth: { keyId: '', secret: 'ab'.repeat(32) } }, /`auth.keyId` must be the name of a key/],
  [{ auth: { secret: 'ab'.repeat(32) } }, /`auth.keyId` is missing/],
  [{ auth: { keyId: 'k', secret: 'short' } }, /`auth.secret`: .* hexadecimal/],
  [{ auth: { keyId: 'k' } }, /`auth.secret`: .* hexadecimal/],
  [{ auth: 'k' }, /`auth` must be an object/],
  [{ plain: true, auth: { keyId: 'k', secret: 'ab'.repeat(32) } }, /`plain` sends no byte, and `auth` is a login/],
  [{ incoming: true }, /needs a gateway/],
];

for (const [wrong, reason] of WRONG) {
  test(`refused at once: ${inspect(wrong, { breakLength: Infinity }).slice(0, 70)}`, () => {
    const options = { deviceId: 'edge-01', ...wrong } as DeviceOptions;
    refused(() => new EdgeDevice(options, { alert }, { cursors }), reason);
    refused(() => new EdgeTransport({ devices: [options], cursors }), reason);
    if ('deviceId' in wrong) return;
    refused(() => new EdgeStreams({ devices: [{ deviceId: 'edge-01' }], defaults: wrong, cursors }), reason);
  });
}

for (const [wrong, reason] of [
  [
    { devices: [{ deviceId: 'edge-01' }, { deviceId: 'edge-02' }, { deviceId: 'edge-01' }] },
    /device "edge-01" is in `devices` twice/,
  ],
  [{ devices: { deviceId: 'edge-01' } }, /`devices` must be a list/],
  [{ cursors: {} }, /`cursors` must have the methods load and save/],
  [{ giveUp: true }, /`giveUp` must be a function/],
  [{ gateway: {} }, /gateway: `port` is missing/],
  [{ gateway: { port: -1 } }, /gateway: `port` must be/],
  [{ gateway: { port: 8443, host: 'a:1' } }, /gateway: `host` must be/],
  [{ gateway: { port: 8443 } }, /gateway: `ca` is missing/],
  [
    { gateway: { port: 8443, ca: 'ca.pem', cert: 'x', key: 'y' } },
    /gateway: `ca` must be certificates in PEM: give what is/,
  ],
  [{ onAlert: 'x' }, /`onAlert` must be a function/],
] as Array<[object, RegExp]>) {
  test(`refused at once for all: ${inspect(wrong, { breakLength: Infinity }).slice(0, 70)}`, () => {
    refused(() => new EdgeStreams({ cursors, ...wrong } as EdgeOptions), reason);
    if (!('onAlert' in wrong)) refused(() => new EdgeTransport({ cursors, ...wrong } as EdgeOptions), reason);
  });
}

test('what can work is taken', () => {
  for (const host of ['localhost', 'edge-01.local', '10.0.0.21', '::1', 'fe80::1%eth0']) {
    new EdgeDevice({ deviceId: 'edge-01', host, port: 65_535, consumer: 'a.B_c-9' }, { alert }, { cursors });
  }
  new EdgeDevice({ deviceId: 'edge-01' }, { detection: alert });
  refused(() => new EdgeDevice({ deviceId: 'edge-01' }, { alert }), /needs a cursor store/);
});

test('devices come after listen(), when it is known what is handled', () => {
  const transport = new EdgeTransport({ cursors });
  refused(() => transport.add({ deviceId: 'edge-01' }), /add devices after app.listen\(\)/);
});

test('where one device cannot start, none is left running, and none comes after the end', async () => {
  const streams = new EdgeStreams({ devices: [{ deviceId: 'edge-01', plain: true }, { deviceId: 'edge-02' }] });
  await assert.rejects(streams.onApplicationBootstrap(), /device "edge-02" needs a cursor store/);
  assert.deepEqual(streams.devices, []);
  refused(() => streams.add({ deviceId: 'edge-03', plain: true }), /comes too late: everything was stopped/);
});
