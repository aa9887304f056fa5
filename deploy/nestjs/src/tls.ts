import * as net from 'node:net';
import * as tls from 'node:tls';

import { ConnectionError } from './errors';
import { meaningOf } from './faults';

/**
 * TLS 1.3 to a device. Either `ca`: the device's certificate must be of that authority and name the device_id that is
 * asked for (its address does not matter); or `fingerprint`: it must be that very certificate. `cert` and `key` are
 * one's own, for listeners with `auth = "mtls"`. All but the fingerprint are PEM, not paths.
 */
export interface TlsOptions {
  ca?: string | Buffer | Array<string | Buffer>;
  /** SHA-256 of the device's certificate in hexadecimal, with or without colons. */
  fingerprint?: string;
  cert?: string | Buffer;
  key?: string | Buffer;
  passphrase?: string;
  /** The authority's list of revoked certificates. */
  crl?: string | Buffer | Array<string | Buffer>;
}

export interface Target {
  deviceId: string;
  host: string;
  port: number;
  tls?: TlsOptions;
}

const KEEPALIVE_MS = 10_000;

/** Connects, and over TLS makes sure of the device before a byte is sent to it. */
export async function dial(target: Target, timeoutMs: number, signal: AbortSignal): Promise<net.Socket> {
  signal.throwIfAborted();
  const socket = open(target);
  const abort = (): void => void socket.destroy(new ConnectionError(meaningOf({ code: 'ETIMEDOUT' }), 'ETIMEDOUT'));
  const late = setTimeout(abort, timeoutMs);
  signal.addEventListener('abort', abort);
  try {
    await once(socket, target.tls ? 'secureConnect' : 'connect');
    if (socket instanceof tls.TLSSocket) checkFingerprint(socket, target.tls?.fingerprint);
    return socket;
  } catch (error) {
    socket.destroy();
    throw explain(error, target);
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', abort);
  }
}

/**
 * The device_id that a certificate names in its alternative names (a URI, percent-encoded), if any; `names` as Node
 * gives them.
 */
export function deviceOf(names: string | undefined): string | undefined {
  // Node quotes every name in which a comma could end it too early.
  for (const [, kind, quoted, bare] of (names ?? '').matchAll(/(?:^|, )([^:,"]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))/g)) {
    const name = quoted === undefined ? (bare ?? '') : (JSON.parse(quoted) as string);
    if (kind === 'URI' && name.startsWith(DEVICE_URI)) return decoded(name.slice(DEVICE_URI.length));
  }
  return undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % that encodes nothing: then it stands for itself
  }
}

const DEVICE_URI = 'urn:preact-edge:device:';

function open(target: Target): net.Socket {
  try {
    return target.tls ? tls.connect(tlsSettings(target, target.tls)) : net.connect(tcpSettings(target));
  } catch (error) {
    throw explain(error, target); // a certificate that is none, for example
  }
}

function tcpSettings(target: Target): net.TcpNetConnectOpts {
  const { host, port } = target;
  return { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS };
}

function tlsSettings(target: Target, options: TlsOptions): tls.ConnectionOptions {
  const { ca, cert, key, passphrase, crl, fingerprint } = options;
  return {
    ...tcpSettings(target),
    ...Object.fromEntries(
      Object.entries({ ca, cert, key, passphrase, crl }).filter(([, value]) => value !== undefined),
    ),
    minVersion: 'TLSv1.3',
    // A pinned certificate need not be of any authority; checkFingerprint() decides then.
    rejectUnauthorized: !fingerprint,
    checkServerIdentity: (_host, certificate) => checkDevice(certificate.subjectaltname, target.deviceId),
  };
}

function checkDevice(names: string | undefined, deviceId: string): Error | undefined {
  const found = deviceOf(names);
  if (found === deviceId) return undefined;
  return new ConnectionError(
    `its certificate is ${found === undefined ? 'no device' : `device "${found}"`}'s, not device "${deviceId}"'s: ` +
      'correct the address, or `deviceId`',
    'wrong_device',
  );
}

function checkFingerprint(socket: tls.TLSSocket, expected: string | undefined): void {
  if (expected === undefined) return;
  const plain = (text: string | undefined): string => (text ?? '').replaceAll(':', '').toLowerCase();
  const found = plain(socket.getPeerCertificate().fingerprint256);
  if (found === '' || found !== plain(expected)) {
    const reason = `its certificate has the fingerprint ${found}, not the pinned one: was it renewed?`;
    throw new ConnectionError(reason, 'wrong_fingerprint');
  }
}

/** Resolves on `event`, rejects on an error or an early close. */
function once(socket: net.Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      socket.off(event, onEvent).off('error', settle).off('close', onClose);
      if (error) socket.on('error', () => undefined); // what follows the first fault says nothing new
      if (error) reject(error);
      else resolve();
    };
    const onEvent = (): void => settle();
    const onClose = (): void => settle(new ConnectionError('closed at once'));
    socket.on(event, onEvent).on('error', settle).on('close', onClose);
  });
}

function explain(error: unknown, target: Target): ConnectionError {
  const where = `cannot connect to ${target.deviceId} at ${target.host}:${target.port}`;
  const reason = error instanceof ConnectionError ? error.message : meaningOf(error);
  return new ConnectionError(`${where}: ${reason}`, (error as NodeJS.ErrnoException).code, { cause: error });
}
