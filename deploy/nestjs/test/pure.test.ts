import { strict as assert } from 'node:assert';
import { mock, test } from 'node:test';
import { inspect } from 'node:util';

import {
  type Alert,
  AlertCursor,
  Backoff,
  EdgeError,
  type HelloOk,
  LoginKey,
  type LoginTerms,
  OpenEvents,
  ProtocolError,
  type ThreatLevel,
} from '../src';
import { Acks } from '../src/acks';
import { meaningOf } from '../src/faults';
import { AlertLane } from '../src/lanes';
import { Repeats } from '../src/repeats';
import { deviceOf } from '../src/tls';
import { makeAlert } from './scripted';
import { randomFrom, vectors } from './support';

interface LoginVector {
  name: string;
  key: string;
  key_id: string;
  device_id: string;
  listener: string;
  server_nonce: string;
  client_nonce: string;
  mac: string;
  proof: string;
}

function termsOf(vector: LoginVector): LoginTerms {
  return {
    keyId: vector.key_id,
    deviceId: vector.device_id,
    listener: vector.listener,
    serverNonce: vector.server_nonce,
    clientNonce: vector.client_nonce,
  };
}

for (const vector of vectors('login.json') as LoginVector[]) {
  test(`login vector: ${vector.name}`, () => {
    const key = new LoginKey(vector.key_id, vector.key);
    const terms = termsOf(vector);
    assert.equal(key.mac(terms), vector.mac);
    assert.equal(key.proof(terms), vector.proof);
    assert.ok(key.proves(terms, vector.proof));
    for (const wrong of [vector.mac, vector.proof.slice(1), '', undefined, 7]) assert.ok(!key.proves(terms, wrong));
    for (const part of Object.keys(terms)) {
      assert.notEqual(key.mac({ ...terms, [part]: 'another' }), vector.mac);
      assert.ok(!key.proves({ ...terms, [part]: 'another' }, vector.proof));
    }
  });
}

test('a key that is too short or no hexadecimal is refused, and a good one shows nothing', () => {
  for (const secret of ['', 'ab'.repeat(31), 'ab'.repeat(32) + 'a', 'xy'.repeat(32)]) {
    assert.throws(() => new LoginKey('k', secret), EdgeError);
  }
  const secret = '0f'.repeat(32);
  const key = new LoginKey('k', secret);
  assert.ok(!`${inspect(key, { depth: 9, showHidden: true })}${JSON.stringify(key)}`.includes('0f0f'));
});

test('waits have full jitter from 0.25 s to a bound that doubles up to 30 s', () => {
  const least = new Backoff(() => 0);
  const most = new Backoff(() => 1);
  assert.deepEqual(
    Array.from({ length: 9 }, () => least.next()),
    Array(9).fill(250),
  );
  const bounds = [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000];
  assert.deepEqual(
    Array.from(bounds, () => most.next()),
    bounds,
  );
  most.reset();
  assert.equal(most.next(), 500);
});

interface CursorVector {
  name: string;
  start?: { stream: string; after: number };
  connections: Array<{
    resume: { stream: string; after: number } | null;
    messages: Array<Alert | HelloOk>;
    gives: number[];
    told: { status: string; missed: number } | null;
    hangs_up: boolean;
    cursor: { stream: string; after: number } | null;
  }>;
}

for (const vector of vectors('cursor.json') as CursorVector[]) {
  test(`cursor vector: ${vector.name}`, () => {
    const cursor = new AlertCursor(vector.start && { stream: vector.start.stream, seq: vector.start.after });
    const asked = (): unknown =>
      cursor.position ? { stream: cursor.position.stream, after: cursor.position.seq } : null;
    for (const connection of vector.connections) {
      assert.deepEqual(asked(), connection.resume);
      let greeted = false;
      const gives: number[] = [];
      const run = (): void => {
        for (const [index, message] of connection.messages.entries()) {
          if (message.type === 'hello_ok') cursor.begin(message);
          greeted ||= message.type === 'hello_ok';
          if (greeted && message.type === 'alert' && cursor.accept(message).give) gives.push(index);
        }
      };
      if (connection.hangs_up) assert.throws(run, ProtocolError);
      else run();
      assert.deepEqual(gives, connection.gives);
      assert.deepEqual(asked(), connection.cursor);
    }
  });
}

test('over random cuts every alert is given once and in order, early copies among them', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomFrom(seed);
    const chance = (odds: number): boolean => random() < odds;
    const cursor = new AlertCursor({ stream: 's', seq: 0 });
    const given: string[] = [];
    const give = (alert: Alert): void => void (cursor.accept(alert).give && given.push(alert.event_uid ?? ''));
    let stored = 0;
    const last = 40;
    while ((cursor.position?.seq ?? 0) < last) {
      const from = (cursor.position?.seq ?? 0) + 1;
      cursor.begin({ type: 'hello_ok', stream: 's', resume: { status: 'ok', from, missed: 0 } } as HelloOk);
      for (let seq = from; seq <= last && !chance(0.1); seq++) {
        if (seq > stored && chance(0.2)) give({ ...makeAlert(seq), durable: false });
        stored = Math.max(stored, seq);
        give({ ...makeAlert(seq), durable: true, stream: 's', seq });
        if (chance(0.1)) give({ ...makeAlert(seq), durable: true, stream: 's', seq });
        if (chance(0.1))
          assert.throws(() => give({ ...makeAlert(seq + 2), durable: true, stream: 's', seq: seq + 2 }), ProtocolError);
      }
    }
    assert.deepEqual(
      given,
      Array.from({ length: last }, (_, index) => `event-${index + 1}`),
    );
  }
});

function told(uid: string, state: 'firing' | 'resolved' = 'firing', level: ThreatLevel = 'medium'): Alert {
  return { ...makeAlert(1), event_uid: uid, state, threat_level: level };
}

/** What goes on, with its level, once these came. */
function after(...happened: Array<Parameters<OpenEvents['take']>[0]>): string[] {
  const events = new OpenEvents();
  for (const each of happened) events.take(each);
  return events.alerts.map((alert) => `${alert.event_uid} ${alert.threat_level}`);
}

test('an event goes on from its first alert until it is resolved', () => {
  const { event_uid: _, ...nameless } = makeAlert(1);
  assert.deepEqual(after(told('a'), told('b'), told('a', 'firing', 'high')), ['a high', 'b medium']);
  assert.deepEqual(after(told('a'), told('b'), told('a', 'resolved')), ['b medium']);
  assert.deepEqual(after(nameless), []);
});

test('what was resolved stays so, and no level is taken back', () => {
  assert.deepEqual(after(told('a', 'resolved', 'high'), told('a'), told('a', 'firing', 'high')), []);
  assert.deepEqual(after(told('a', 'firing', 'high'), told('a')), ['a high']);
});

test('after a gap and a reset nothing is known to go on', () => {
  const ended = { deviceId: 'edge-01', stream: 's', from: 7 };
  assert.deepEqual(after(told('a'), { ...ended, event: 'gap', missed: 3 }, told('b')), ['b medium']);
  assert.deepEqual(after(told('a'), { ...ended, event: 'reset' }), []);
  assert.deepEqual(after(told('a'), { deviceId: 'edge-01', event: 'stopped' }), ['a medium']);
});

test('what is remembered of events is bounded', () => {
  const uids = Array.from({ length: 3_000 }, (_, number) => `e${number}`);
  const open = after(...uids.map((uid) => told(uid)));
  assert.deepEqual([open.length, open[0]], [1_024, 'e1976 medium']);
  const late = after(...uids.map((uid) => told(uid, 'resolved')), ...uids.map((uid) => told(uid)));
  assert.equal(late.length, 1_024);
  assert.equal(late.at(-1), 'e1975 medium'); // the last 1,024 that are over are still known to be
});

test('the device is the one that a URI of its certificate names, and no name can pretend to hold another', () => {
  const uri = 'URI:urn:preact-edge:device:';
  assert.equal(deviceOf(`${uri}edge-01`), 'edge-01');
  assert.equal(deviceOf(`DNS:localhost, IP Address:127.0.0.1, ${uri}edge-01`), 'edge-01');
  assert.equal(deviceOf(`URI:"urn:preact-edge:device:a, b", DNS:x`), 'a, b');
  assert.equal(deviceOf(`DNS:"x, ${uri}edge-01"`), undefined);
  assert.equal(deviceOf(`DNS:"x\\", ${uri}edge-01", DNS:y`), undefined);
  assert.equal(deviceOf('DNS:urn:preact-edge:device:edge-01'), undefined);
  assert.equal(deviceOf('URI:urn:preact-edge:role:control'), undefined);
  assert.equal(deviceOf(undefined), undefined);
  assert.equal(deviceOf(`${uri}T%C3%BCr%203%2Fa%3Ab`), 'Tür 3/a:b');
  assert.equal(deviceOf(`${uri}%2541`), '%41');
  for (const malformed of ['100%', '%FF', '%C3']) assert.equal(deviceOf(uri + malformed), malformed);
});

test('100,000 alerts are acknowledged five times a second, each time up to the last', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const sent: number[] = [];
    let writable = true;
    const acks = new Acks((ack) => writable && sent.push(ack.seq) > 0);
    for (let seq = 1; seq <= 100_000; seq++) {
      acks.moved({ stream: 's', seq });
      if (seq % 10_000 === 0) mock.timers.tick(100);
    }
    assert.deepEqual(sent, [20_000, 40_000, 60_000, 80_000, 100_000]);
    writable = false; // no connection: it waits for the next
    acks.moved({ stream: 's', seq: 100_001 });
    mock.timers.tick(200);
    writable = true;
    acks.flush();
    acks.flush();
    assert.deepEqual(sent.slice(5), [100_001]);
  } finally {
    mock.timers.reset();
  }
});

test('a handler or a store that works on and on is told of', async () => {
  mock.timers.enable({ apis: ['setInterval'] });
  try {
    const told: string[] = [];
    let finish = (): void => undefined;
    const work = {
      give: () => new Promise<void>((resolve) => (finish = resolve)),
      giveUp: () => false,
      save: () => new Promise(() => undefined),
      moved: () => undefined,
      failed: () => undefined,
      slow: (what: string) => void told.push(what),
    };
    const lane = new AlertLane(4, work, () => new Backoff());
    lane.push({ give: true, cursor: { stream: 's', seq: 1 } }, makeAlert(1));
    mock.timers.tick(60_000);
    finish();
    await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(30_000);
    assert.deepEqual(told, [
      'alert alert_1710000001 has been with its handler for 30 s',
      'alert alert_1710000001 has been with its handler for 60 s',
      'the cursor store has not answered for 30 s',
    ]);
  } finally {
    mock.timers.reset();
  }
});

test('the same line comes once a minute, with how often it came meanwhile', () => {
  let now = 0;
  const repeats = new Repeats(() => now);
  const lines = (times: number, text: string): unknown[] => Array.from({ length: times }, () => repeats.line(text));
  assert.deepEqual(lines(3, 'a'), ['a', undefined, undefined]);
  assert.deepEqual(lines(2, 'b'), ['b', undefined]);
  now = 60_000;
  assert.deepEqual(lines(2, 'a'), ['a (and 2 times before)', undefined]);
  for (let number = 0; number < 3_000; number++) repeats.line(`stranger ${number}`);
  assert.deepEqual(lines(1, 'a'), ['a']); // forgotten: it does not grow for ever
});

for (const [error, meaning] of [
  [{ code: 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED' }, /our certificate has expired: renew it/],
  [{ code: 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED' }, /our certificate has expired: renew it/], // OpenSSL 3.5
  [{ code: 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR' }, /it ended TLS with "internal error": its log says why/],
  [
    { code: 'ECONNREFUSED', message: '' },
    /nothing listens there: is the device up, and the port right\? \(ECONNREFUSED\)/,
  ],
  [new Error('80AC:error:0A000126:SSL routines:f:unexpected eof:../x.c:1:\n'), /^TLS failed with "unexpected eof"$/],
  [new Error('error:0A000126:SSL routines::unexpected eof'), /^TLS failed with "unexpected eof"$/],
  [new Error('two\nlines '), /^two lines$/],
  [Object.assign(new Error(''), { code: 'EMFILE' }), /^EMFILE$/],
  [undefined, /undefined/],
] as Array<[unknown, RegExp]>) {
  test(`what went wrong, for people: ${meaning.source.slice(0, 60)}`, () => assert.match(meaningOf(error), meaning));
}
