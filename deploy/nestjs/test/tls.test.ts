import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { TlsOptions as ServerOptions } from 'node:tls';

import { type DeviceOptions, EdgeDevice, type EdgeStatus, MemoryCursorStore } from '../src';
import { Fleet } from './certificates';
import { ScriptedDevice } from './scripted';
import { NEEDS_PROGRAM, waitUntil } from './support';

const LOGIN = { keyId: 'backend-1', secret: 'ab'.repeat(32) };

describe('TLS', NEEDS_PROGRAM, () => {
  let fleet: Fleet;
  before(() => void (fleet = new Fleet()));
  after(() => fleet.remove());

  /** What became of the first attempt: `connected`, or why not. */
  async function attempt(
    server: ServerOptions | undefined,
    options: Partial<DeviceOptions>,
    login = false,
  ): Promise<string> {
    const device = await new ScriptedDevice({
      ...(server && { tls: server }),
      ...(login && { login: LOGIN }),
    }).listen();
    const statuses: EdgeStatus[] = [];
    const client = new EdgeDevice(
      { deviceId: 'edge-01', host: '127.0.0.1', port: device.port, timing: { connectMs: 2_000 }, ...options },
      { alert: () => undefined, status: (status) => void statuses.push(status) },
      { cursors: new MemoryCursorStore() },
    );
    client.start();
    await waitUntil(() => statuses.length > 0, 'an outcome');
    await client.stop();
    await device.close();
    const [status] = statuses;
    return status?.event === 'lost' ? status.reason : (status?.event ?? '');
  }

  test('a device of the authority, by its id and not by its address', async () => {
    const ca = fleet.read('ca.pem');
    assert.equal(await attempt(fleet.pair('device-edge-01'), { tls: { ca } }), 'connected');
    assert.match(await attempt(fleet.pair('device-edge-02'), { tls: { ca } }), /its certificate is device "edge-02"'s/);
    assert.match(await attempt(fleet.pair('backend-control'), { tls: { ca } }), /its certificate is no device's/);
    assert.match(await attempt(fleet.pair('elsewhere/device-edge-01'), { tls: { ca } }), /certificate/);
    assert.match(await attempt(fleet.pair('pinned/device'), { tls: { ca } }), /self-signed certificate/);
  });

  test('one pinned certificate', async () => {
    const { fingerprint256 } = new X509Certificate(fleet.read('pinned/device.pem'));
    for (const fingerprint of [fingerprint256, fingerprint256.replaceAll(':', '').toLowerCase()]) {
      assert.equal(await attempt(fleet.pair('pinned/device'), { tls: { fingerprint } }), 'connected');
      assert.match(await attempt(fleet.pair('device-edge-01'), { tls: { fingerprint } }), /not the pinned one/);
    }
  });

  test('a login inside TLS', async () => {
    const tls = { ca: fleet.read('ca.pem') };
    assert.equal(await attempt(fleet.pair('device-edge-01'), { tls, auth: LOGIN }, true), 'connected');
  });

  test('mutual TLS', async () => {
    const ca = fleet.read('ca.pem');
    const server = { ...fleet.pair('device-edge-01'), ca, requestCert: true, rejectUnauthorized: true };
    assert.equal(await attempt(server, { tls: { ca, ...fleet.pair('backend-viewer') } }), 'connected');
    assert.match(await attempt(server, { tls: { ca } }), /certificate/);
  });

  test('nothing older than TLS 1.3, nothing without TLS, and one way to know the device', async () => {
    const tls = { ca: fleet.read('ca.pem') };
    assert.match(await attempt({ ...fleet.pair('device-edge-01'), maxVersion: 'TLSv1.2' }, { tls }), /cannot connect/);
    assert.match(await attempt(undefined, { tls }), /cannot connect/);
    assert.match(
      await attempt(fleet.pair('device-edge-01'), {}),
      /no welcome came|the device ended the stream|not a welcome|ended|broke/,
    );
    for (const options of [{}, { ...tls, fingerprint: 'ab' }]) {
      assert.match(await attempt(fleet.pair('device-edge-01'), { tls: options }), /either `ca` or `fingerprint`/);
    }
  });
});
