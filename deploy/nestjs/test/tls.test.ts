import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import type { TlsOptions as ServerOptions } from 'node:tls';

import { ConnectionError, type DeviceOptions, EdgeError, type EdgeStatus } from '../src';
import { Fleet } from './certificates';
import { Client, closeAll, scripted } from './client';
import type { Script } from './scripted';
import { NEEDS_PROGRAM, waitUntil } from './support';

const LOGIN = { keyId: 'backend-1', secret: 'ab'.repeat(32) };
const DEVICE = 'urn:preact-edge:device:edge-01';

afterEach(closeAll);

describe('TLS', NEEDS_PROGRAM, () => {
  let fleet: Fleet;
  before(() => {
    fleet = new Fleet();
    fleet.sign('expired', DEVICE, -10, -1);
    fleet.sign('future', DEVICE, 1, 10);
    fleet.certs('revoke', '.', 'device-edge-02.pem');
  });
  after(() => fleet.remove());

  /** What became of the first attempt. */
  async function first(script: Script, options: Partial<DeviceOptions>): Promise<EdgeStatus> {
    const client = new Client(await scripted(script), undefined, options);
    await waitUntil(() => client.statuses.length > 0, 'an outcome');
    await closeAll();
    return client.statuses[0] as EdgeStatus;
  }

  /** `connected`, or why not: a line without OpenSSL's own words, which are kept as its cause. */
  async function attempt(server: ServerOptions | undefined, options: Partial<DeviceOptions>): Promise<string> {
    const status = await first({ ...(server && { tls: server }) }, options);
    if (status.event !== 'lost') return status.event;
    assert.doesNotMatch(status.reason, /error:|routines|\n/);
    assert.ok(status.error instanceof ConnectionError);
    assert.equal(status.error.message, status.reason);
    if (status.code.startsWith('ERR_SSL')) assert.match(String((status.error.cause as Error).message), /SSL routines/);
    return status.reason;
  }

  test('a device of the authority, by its id and not by its address', async () => {
    const ca = fleet.read('ca.pem');
    const stranger = /not of the authority in `ca`: give the ca.pem that signed it/;
    assert.equal(await attempt(fleet.pair('device-edge-01'), { tls: { ca } }), 'connected');
    assert.match(
      await attempt(fleet.pair('device-edge-02'), { tls: { ca } }),
      /certificate is device "edge-02"'s, not device "edge-01"'s: correct the address, or `deviceId`/,
    );
    assert.match(await attempt(fleet.pair('backend-control'), { tls: { ca } }), /its certificate is no device's/);
    assert.match(await attempt(fleet.pair('elsewhere/device-edge-01'), { tls: { ca } }), stranger);
    assert.match(await attempt(fleet.pair('pinned/device'), { tls: { ca } }), /self-signed certificate: pin that one/);
  });

  test('a device whose id a URI cannot hold as it is', async () => {
    const deviceId = 'Tür 3/a:b';
    fleet.certs('device', '.', deviceId);
    const server = fleet.pair(`device-${encodeURIComponent(deviceId)}`);
    const tls = { ca: fleet.read('ca.pem') };
    assert.equal((await first({ tls: server, id: deviceId }, { tls, deviceId })).event, 'connected');
    const another = { tls, deviceId: encodeURIComponent(deviceId) };
    assert.match(await attempt(server, another), /certificate is device "Tür 3\/a:b"'s, not device "T%C3%BCr/);
  });

  test('certificates out of date, and revoked ones', async () => {
    const ca = fleet.read('ca.pem');
    const crl = fleet.read('crl.pem');
    assert.match(await attempt(fleet.pair('expired'), { tls: { ca } }), /has expired: renew it/);
    assert.match(await attempt(fleet.pair('future'), { tls: { ca } }), /not valid yet: correct this machine's clock/);
    const asked = { tls: { ca, crl }, deviceId: 'edge-02' };
    assert.match(await attempt(fleet.pair('device-edge-02'), asked), /was revoked: make a new one for the device/);
    const other = fleet.read('elsewhere/crl.pem');
    assert.match(await attempt(fleet.pair('device-edge-01'), { tls: { ca, crl: other } }), /`crl` holds no list of/);
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
    const status = await first({ tls: fleet.pair('device-edge-01'), login: LOGIN }, { tls, auth: LOGIN });
    assert.equal(status.event, 'connected');
  });

  test('mutual TLS', async () => {
    const ca = fleet.read('ca.pem');
    const server = { ...fleet.pair('device-edge-01'), ca, requestCert: true, rejectUnauthorized: true };
    assert.equal(await attempt(server, { tls: { ca, ...fleet.pair('backend-viewer') } }), 'connected');
    assert.match(await attempt(server, { tls: { ca } }), /asks for a certificate: give `cert` and `key`/);
  });

  test('nothing older than TLS 1.3, and nothing without TLS', async () => {
    const tls = { ca: fleet.read('ca.pem') };
    const old = { ...fleet.pair('device-edge-01'), maxVersion: 'TLSv1.2' } as const;
    assert.match(await attempt(old, { tls }), /speaks no TLS 1.3: update it/);
    for (const form of [{}, { byteorder: 'little' }, { framing: 'newline' }] as const) {
      const status = await first(form, { tls });
      assert.match(status.event === 'lost' ? status.reason : '', /speaks plain TCP, not TLS: leave `tls` out/);
    }
    const impatient = { timing: { connectMs: 500 } };
    const waiting = await attempt(fleet.pair('device-edge-01'), impatient);
    assert.match(waiting, /no welcome came in 0.5 s: a listener with TLS waits for `tls`/);
  });

  test('options of TLS that cannot work are refused at once, by name, and nothing secret is shown', () => {
    const ca = fleet.read('ca.pem');
    const { cert, key } = fleet.pair('backend-viewer');
    const mine = fleet.read('device-edge-01.key');
    for (const [tls, reason] of [
      [{}, /`tls` needs either `ca` or `fingerprint`/],
      [{ ca, fingerprint: 'ab'.repeat(32) }, /`tls` needs either `ca` or `fingerprint`/],
      [{ fingerprint: 'ab' }, /`tls.fingerprint` must be a SHA-256 in hexadecimal/],
      [
        { ca: '/etc/preact-edge/ca.pem' },
        /`tls.ca` must be certificates in PEM: give what is in the file, not its path/,
      ],
      [{ ca: Buffer.alloc(0) }, /`tls.ca` is empty/],
      [{ ca: '' }, /`tls.ca` is empty/],
      [{ ca: [] }, /`tls.ca` is empty/],
      [{ ca: [ca, 'x'] }, /`tls.ca` must be certificates in PEM/],
      [{ ca: ca.replaceAll('\n', '\\n') }, /`tls.ca` holds "\\n" as two characters/],
      [{ ca: ca.slice(0, 200) }, /`tls.ca` holds a damaged certificate/],
      [{ ca: key }, /`tls.ca` must be certificates in PEM$/],
      [{ ca: 7 }, /`tls.ca` must be PEM, as text or Buffer/],
      [{ ca, cert }, /`tls.cert` needs `key` beside it/],
      [{ ca, key }, /`tls.key` needs `cert` beside it/],
      [{ ca, cert, key: cert }, /`tls.key` must be a private key in PEM$/],
      [{ ca, cert, key: `${key.slice(0, 60)}\n-----END PRIVATE KEY-----` }, /`tls.key` is damaged/],
      [{ ca, cert, key: mine }, /`tls.key` is not the key of `cert`/],
      [{ ca, crl: 'junk' }, /`tls.crl` must be a list of revoked certificates in PEM/],
      [{ ca, crl: '-----BEGIN X509 CRL-----\njunk\n-----END X509 CRL-----' }, /`tls.crl` holds a damaged list/],
      [true, /`tls` must be an object/],
    ] as Array<[object, RegExp]>) {
      const make = (): Client => new Client({ port: 1 } as never, undefined, { tls } as Partial<DeviceOptions>);
      assert.throws(make, (error) => {
        assert.ok(error instanceof EdgeError);
        assert.match(error.message, reason);
        assert.match(error.message, /^device "edge-01": `tls/);
        assert.ok(!/BEGIN|MI[GIE]/.test(error.message));
        return true;
      });
    }
    const bundle = {
      ca: [ca + fleet.read('elsewhere/ca.pem'), Buffer.from(ca)],
      cert,
      key,
      crl: fleet.read('crl.pem'),
    };
    new Client({ port: 1 } as never, undefined, { tls: bundle });
  });
});
