/** The package against the real program, `preact-edge run`, on the drawn scene: every kind of listener. */
import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { inspect } from 'node:util';

import type { DeviceOptions } from '../src';
import { Fleet } from './certificates';
import { closeAll } from './client';
import { follow, keyOf, lostReason, SLOW } from './follow';
import { busyRule, freePort, Program } from './program';
import { NEEDS_PROGRAM, waitUntil } from './support';

afterEach(closeAll);

describe('one device with every kind of listener', NEEDS_PROGRAM, () => {
  let fleet: Fleet;
  let program: Program;
  const ports = { length: 0, lines: 0, hmac: 0, inside: 0, mtls: 0 };
  let login: { keyId: string; secret: string };

  before(async () => {
    fleet = new Fleet();
    fleet.sign('expired', 'urn:preact-edge:role:viewer', -10, -1);
    fleet.sign('future', 'urn:preact-edge:role:viewer', 1, 10);
    fleet.sign('backend-viewer-2', 'urn:preact-edge:role:viewer', -1, 10);
    fleet.certs('revoke', '.', 'backend-viewer-2.pem');
    fleet.certs('key', '--role', 'control', '--append', 'keys.toml', 'backend-1');
    login = { keyId: 'backend-1', secret: /secret = "([0-9a-f]+)"/.exec(fleet.read('keys.toml'))?.[1] ?? '' };
    for (const name of Object.keys(ports) as Array<keyof typeof ports>) ports[name] = await freePort();
    const file = (name: string): string => JSON.stringify(fleet.path(name));
    program = new Program(
      'edge-01',
      `${busyRule(4)}
[security]
certificate = ${file('device-edge-01.pem')}
private_key = ${file('device-edge-01.key')}
ca = ${file('ca.pem')}
revocation_list = ${file('crl.pem')}
login_keys = ${file('keys.toml')}
[[listeners]]
host = "127.0.0.1"
port = ${ports.length}
[[listeners]]
host = "127.0.0.1"
port = ${ports.lines}
framing = "newline"
byteorder = "little"
video = true
[[listeners]]
host = "127.0.0.1"
port = ${ports.hmac}
auth = "hmac"
[[listeners]]
host = "127.0.0.1"
port = ${ports.inside}
tls = true
auth = "hmac"
[[listeners]]
host = "127.0.0.1"
port = ${ports.mtls}
framing = "newline"
tls = true
auth = "mtls"
video = true
`,
    );
    await program.start(5);
  });
  after(async () => {
    await program.close();
    fleet.remove();
  });

  function control(): DeviceOptions {
    return {
      deviceId: 'edge-01',
      port: ports.mtls,
      tls: { ca: fleet.read('ca.pem'), ...fleet.pair('backend-control') },
    };
  }

  for (const name of ['length', 'lines'] as const) {
    for (const plain of [false, true]) {
      test(`${plain ? 'the plain stream' : 'a session'}: ${name}`, async () => {
        const subscribe: DeviceOptions['subscribe'] =
          name === 'lines' ? ['alerts', 'detections', 'frames'] : ['alerts', 'detections'];
        const client = follow({ deviceId: 'edge-01', port: ports[name], plain, subscribe });
        await waitUntil(() => client.given.length >= 2 && client.results >= 2, `alerts: ${program.log}`, SLOW);
        if (name === 'lines') {
          await waitUntil(() => client.frames.length >= 2, 'pictures', SLOW);
          for (const { jpeg, size } of client.frames) {
            assert.equal(jpeg.length, size);
            assert.equal(jpeg.readUInt16BE(0), 0xffd8);
            assert.equal(jpeg.readUInt16BE(size - 2), 0xffd9);
          }
        }
        assert.match(client.given[0]?.rule ?? '', /^anybody — quién \d$/);
        assert.equal(client.given[0]?.device_id, 'edge-01');
        assert.equal(new Set(client.given.map(keyOf)).size, client.given.length);
        assert.equal(lostReason(client.statuses), undefined);
      });
    }
  }

  test('logins: on plain TCP as a viewer, inside TLS as the key says, also with a pinned certificate', async () => {
    const { fingerprint256 } = new X509Certificate(fleet.read('device-edge-01.pem'));
    const roles: unknown[] = [];
    for (const options of [
      { port: ports.hmac },
      { port: ports.inside, tls: { ca: fleet.read('ca.pem') } },
      { port: ports.inside, tls: { fingerprint: fingerprint256 } },
    ]) {
      const client = follow({ deviceId: 'edge-01', auth: login, ...options });
      await waitUntil(() => client.statuses.length > 0, 'an outcome', SLOW);
      const [status] = client.statuses;
      roles.push(status?.event === 'connected' ? status.role : status);
      const refused = client.edge.command('get_status', {}, SLOW).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      roles.push(await refused);
    }
    assert.deepEqual(roles, ['viewer', 'forbidden', 'control', 'done', 'control', 'done']);
  });

  test('wrong logins and certificates get nothing', async () => {
    const ca = fleet.read('ca.pem');
    const wrong = { ...login, secret: 'ab'.repeat(32) };
    for (const [options, reason] of [
      [{ port: ports.hmac, auth: wrong }, /auth_failed/],
      [{ port: ports.inside, tls: { ca }, auth: wrong }, /auth_failed/],
      [{ port: ports.hmac }, /give `auth`/],
      [{ port: ports.length, auth: login }, /does not ask for it/],
      [{ port: ports.mtls, tls: { ca } }, /asks for a certificate: give `cert` and `key`/],
      [
        { port: ports.mtls, tls: { ca, ...fleet.pair('elsewhere/device-edge-01') } },
        /does not know the authority of our certificate/,
      ],
      [{ port: ports.mtls, tls: { ca, ...fleet.pair('expired') } }, /our certificate has expired: renew it/],
      [{ port: ports.mtls, tls: { ca, ...fleet.pair('future') } }, /refuses our certificate, which is not valid yet/],
      [{ port: ports.mtls, tls: { ca, ...fleet.pair('backend-viewer-2') } }, /our certificate was revoked/],
      [
        { port: ports.mtls, tls: { ca, ...fleet.pair('device-edge-02') } },
        /auth_failed: .*; compare `auth`.*`tls.cert`/,
      ],
      [
        { port: ports.mtls, tls: { ca: fleet.read('elsewhere/ca.pem'), ...fleet.pair('backend-control') } },
        /not of the authority in `ca`/,
      ],
      [{ port: ports.length, tls: { ca } }, /speaks plain TCP, not TLS: leave `tls` out/],
      [{ port: ports.mtls, timing: { connectMs: 500 } }, /no welcome came in 0.5 s: a listener with TLS waits/],
      [{ port: ports.mtls }, /hung up before its welcome: it speaks TLS there \(then give `tls`\)/],
      [{ port: ports.length, deviceId: 'edge-02' }, /this is device "edge-01"/],
    ] as const) {
      const client = follow({ deviceId: 'edge-01', ...options });
      await waitUntil(() => client.statuses.length > 0, 'an outcome', SLOW);
      assert.match(lostReason(client.statuses) ?? 'connected', reason);
      assert.doesNotMatch(lostReason(client.statuses) ?? '', /error:|routines|\n/);
      await client.edge.stop();
    }
  });

  test('commands over mutual TLS, while pictures come on a second connection', async () => {
    const client = follow({ ...control(), subscribe: ['alerts', 'frames', 'health'], frames: { max_fps: 5 } });
    await waitUntil(() => client.frames.length >= 2, 'pictures', SLOW);
    const report = await client.edge.command('get_status', {}, SLOW);
    assert.equal(report.device_id, 'edge-01');
    assert.ok(report.outbox && report.outbox.next_seq >= 1);
    const picture = await client.edge.command('snapshot', { max_width: 320 }, SLOW);
    const jpeg = Buffer.from(picture.jpeg, 'base64');
    assert.deepEqual([jpeg.length, jpeg.readUInt16BE(0), picture.width <= 320], [picture.size, 0xffd8, true]);
    const { changed } = await client.edge.command('set_config', { values: { 'detector.score_threshold': 0.45 } }, SLOW);
    assert.deepEqual(changed, { 'detector.score_threshold': 0.45 });
    await assert.rejects(client.edge.command('set_config', { values: { 'device.id': 'x' } }, SLOW), {
      code: 'bad_args',
    });
    await client.edge.command('reset_config', {}, SLOW);
    const { alerts } = await client.edge.command('get_alerts', { limit: 3 }, SLOW);
    assert.ok(alerts.length <= 3 && alerts.every((alert) => alert.replay));
    const { rules } = await client.edge.command('explain', {}, SLOW);
    assert.equal(rules[0]?.name, 'anybody — quién 1');
  });

  test('a viewer of mutual TLS gives no commands', async () => {
    const client = follow({ ...control(), tls: { ca: fleet.read('ca.pem'), ...fleet.pair('backend-viewer') } });
    await assert.rejects(client.edge.command('get_status', {}, SLOW), { code: 'forbidden' });
  });

  test('acks are kept for the consumer', async () => {
    const client = follow({ ...control(), consumer: 'nest-test' });
    await waitUntil(() => client.given.some((alert) => alert.seq !== undefined), 'an alert', SLOW);
    await client.edge.stop();
    const acknowledged = client.given.findLast((alert) => alert.seq !== undefined)?.seq;
    const reader = follow({ ...control(), consumer: 'nest-test' });
    const { outbox } = await reader.edge.command('get_status', {}, SLOW);
    // Under its name, to which the device may add whose login it was.
    const kept = Object.entries(outbox?.consumers ?? {}).find(([name]) => name.includes('nest-test'));
    assert.ok((kept?.[1] ?? 0) >= (acknowledged ?? Infinity), inspect([kept, acknowledged, outbox]));
    await waitUntil(() => reader.given.some((alert) => alert.seq !== undefined), 'the next', SLOW);
    assert.equal(reader.given.find((alert) => alert.seq !== undefined)?.seq, (acknowledged ?? 0) + 1);
  });
});
