import { ConnectionError, reasonOf } from './errors';
import type { DeviceError } from './messages';

/** What the codes of Node, OpenSSL and the device mean, and what to do: one line each. Nothing here does I/O. */

const PLAIN_PEER = 'the other side speaks plain TCP, not TLS: leave `tls` out, or take the port of a listener with TLS';
const OTHER_AUTHORITY = 'its certificate is not of the authority in `ca`: give the ca.pem that signed it';
const NO_WAY = 'there is no way to it from here: look at the network';

const MEANINGS: Readonly<Record<string, string>> = {
  // The network's.
  ECONNREFUSED: 'nothing listens there: is the device up, and the port right?',
  ECONNRESET: 'it hung up',
  EPIPE: 'it hung up',
  ENOTFOUND: 'there is no such host name',
  EAI_AGAIN: 'its name cannot be resolved now: look at the DNS',
  ETIMEDOUT: 'no answer: is the device up, and is no firewall between?',
  EHOSTUNREACH: NO_WAY,
  ENETUNREACH: NO_WAY,
  // What is wrong with the other side's certificate.
  CERT_HAS_EXPIRED: "its certificate has expired: renew it, or correct this machine's clock",
  CERT_NOT_YET_VALID: "its certificate is not valid yet: correct this machine's clock",
  CERT_REVOKED: 'its certificate was revoked: make a new one for the device',
  CERT_SIGNATURE_FAILURE: OTHER_AUTHORITY,
  CERT_UNTRUSTED: OTHER_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it shows a self-signed certificate: pin that one with `tls.fingerprint`',
  SELF_SIGNED_CERT_IN_CHAIN: OTHER_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: OTHER_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: OTHER_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: OTHER_AUTHORITY,
  INVALID_PURPOSE: 'its certificate is not for this use: make it with `preact-edge certs`',
  CRL_HAS_EXPIRED: 'the list in `crl` is out of date: give the newest, from `preact-edge certs revoke`',
  CRL_NOT_YET_VALID: "the list in `crl` is not valid yet: correct this machine's clock",
  UNABLE_TO_GET_CRL: "`crl` holds no list of its certificate's authority: give that authority's crl.pem",
  // TLS's own.
  ERR_SSL_WRONG_VERSION_NUMBER: PLAIN_PEER,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: PLAIN_PEER,
  ERR_SSL_RECORD_LAYER_FAILURE: PLAIN_PEER,
  ERR_SSL_HTTP_REQUEST: 'it speaks HTTP, and no device does',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'it shows no certificate',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it speaks no TLS 1.3: update it',
};

/** What the other side says of us, as the last message of TLS. */
const ALERTS: Readonly<Record<string, string>> = {
  ACCESS_DENIED: 'it refuses our certificate: its log says why',
  BAD_CERTIFICATE: 'it refuses our certificate, which is not valid yet or is damaged: its log says why',
  CERTIFICATE_EXPIRED: 'it says that our certificate has expired: renew it and give the new one as `cert`',
  CERTIFICATE_REQUIRED: 'it asks for a certificate: give `cert` and `key`',
  CERTIFICATE_REVOKED: 'it says that our certificate was revoked: make a new one and give it as `cert`',
  CERTIFICATE_UNKNOWN: 'it refuses our certificate: its log says why',
  HANDSHAKE_FAILURE: 'it finds no way of TLS that both sides know: update the older side',
  PROTOCOL_VERSION: 'it speaks no TLS 1.3: update it',
  UNKNOWN_CA:
    'it does not know the authority of our certificate: take one that was signed by the authority in its `ca`',
  UNSUPPORTED_CERTIFICATE: 'it refuses our certificate: its log says why',
};

const REFUSALS: Readonly<Record<string, string>> = {
  auth_failed: "compare `auth` with the device's key file, or look for a role in `tls.cert`",
  auth_required: 'log in: give `auth`',
  too_many_clients: 'stream.max_clients is reached there',
  unsupported_version: 'update this package, or the device',
};

const RAW = /error:[0-9A-F]+:([^:]*):[^:]*:([^:]+)/i; // of OpenSSL: where, in which function, what

/** What went wrong with a connection, for people: one line, never OpenSSL's own. */
export function meaningOf(error: unknown): string {
  const { code = '' } = (error ?? {}) as { code?: string };
  const alert = /^ERR_SSL_.*ALERT_([A-Z_]+)$/.exec(code)?.[1];
  if (alert !== undefined) return ALERTS[alert] ?? `it ended TLS with "${words(alert)}": its log says why`;
  const meaning = MEANINGS[code];
  if (meaning !== undefined) return `${meaning} (${code})`;
  const [, , what] = RAW.exec(reasonOf(error)) ?? [];
  return what === undefined ? oneLine(textOf(error) || code) : `TLS failed with "${what.trim()}"`;
}

/** A fatal error of the device's, and what to do about it. */
export function refusalOf({ code, message }: DeviceError): ConnectionError {
  const advice = REFUSALS[code] === undefined ? '' : `; ${REFUSALS[code]}`;
  return new ConnectionError(`the device says ${code}: ${message}${advice}`, code);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : reasonOf(error);
}

function words(name: string): string {
  return name.toLowerCase().replaceAll('_', ' ');
}

function oneLine(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ');
}
