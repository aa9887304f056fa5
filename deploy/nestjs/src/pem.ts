import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

import { EdgeError } from './errors';
import type { TlsOptions } from './tls';

/** Reads what the options of TLS hold, so that a wrong one is known when it is given, and by its name. */

type Name = 'ca' | 'cert' | 'key' | 'crl';

const LABELS: Readonly<Record<Name, RegExp>> = {
  ca: /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/,
  cert: /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/,
  key: /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/,
  crl: /-----BEGIN X509 CRL-----/,
};
const KINDS: Readonly<Record<Name, string>> = {
  ca: 'certificates',
  cert: 'a certificate',
  key: 'a private key',
  crl: 'a list of revoked certificates',
};
const CERTIFICATE = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^]*?-----END \1-----/g;

/** EdgeError where an option cannot work, alone or with the others; `of` stands before its name, with an open tick. */
export function checkTls(of: string, options: TlsOptions, needed: readonly Name[] = []): void {
  if (typeof options !== 'object' || options === null) throw new EdgeError(`${of}\` must be an object`);
  const dot = of.endsWith('tls') ? `${of}.` : of;
  const { ca, cert, key, crl, fingerprint, passphrase } = options;
  for (const name of needed) if (options[name] === undefined) throw new EdgeError(`${dot}${name}\` is missing`);
  if (!needed.length && (ca === undefined) === (fingerprint === undefined)) {
    throw new EdgeError(`${of}\` needs either \`ca\` or \`fingerprint\``);
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new EdgeError(
      `${dot}${cert === undefined ? 'key' : 'cert'}\` needs \`${cert === undefined ? 'cert' : 'key'}\` beside it`,
    );
  }
  if (fingerprint !== undefined) checkFingerprint(dot, fingerprint);
  for (const [name, value] of Object.entries({ ca, cert, key, crl })) {
    if (value !== undefined) checkPem(`${dot}${name}\``, name as Name, value);
  }
  if (ca !== undefined) checkCertificates(`${dot}ca\``, ca);
  if (crl !== undefined) checkList(`${dot}crl\``, crl);
  if (cert !== undefined && key !== undefined) checkPair(dot, cert, key, passphrase);
}

function checkFingerprint(dot: string, fingerprint: unknown): void {
  if (typeof fingerprint === 'string' && /^[0-9a-f]{64}$/i.test(fingerprint.replaceAll(':', ''))) return;
  throw new EdgeError(`${dot}fingerprint\` must be a SHA-256 in hexadecimal: 64 digits, with or without colons`);
}

/** A path, an empty file and text that is no PEM are what it usually is instead. */
function checkPem(named: string, name: Name, value: unknown): void {
  for (const one of Array.isArray(value) && (name === 'ca' || name === 'crl') ? value : [value]) {
    if (typeof one !== 'string' && !Buffer.isBuffer(one))
      throw new EdgeError(`${named} must be PEM, as text or Buffer`);
    const text = one.toString();
    if (text.includes('\\n')) throw new EdgeError(`${named} holds "\\n" as two characters: make them ends of lines`);
    if (LABELS[name].test(text)) continue;
    if (text.trim() === '') throw new EdgeError(`${named} is empty: it must be ${KINDS[name]} in PEM`);
    const hint = /^[^\n]{1,4096}$/.test(text.trim()) ? ': give what is in the file, not its path' : '';
    throw new EdgeError(`${named} must be ${KINDS[name]} in PEM${hint}`);
  }
  if (Array.isArray(value) && value.length === 0) throw new EdgeError(`${named} is empty`);
}

function checkCertificates(named: string, value: unknown): X509Certificate[] {
  const texts = [value].flat().map((one) => String(one));
  try {
    return texts.flatMap((text) => (text.match(CERTIFICATE) ?? [text]).map((block) => new X509Certificate(block)));
  } catch (cause) {
    throw new EdgeError(`${named} holds a damaged certificate`, { cause });
  }
}

function checkList(named: string, crl: TlsOptions['crl']): void {
  try {
    createSecureContext({ crl });
  } catch (cause) {
    throw new EdgeError(`${named} holds a damaged list`, { cause });
  }
}

function checkPair(dot: string, cert: string | Buffer, key: string | Buffer, passphrase: string | undefined): void {
  const [own] = checkCertificates(`${dot}cert\``, cert);
  const secret = readKey(dot, key, passphrase);
  if (!own?.checkPrivateKey(secret)) throw new EdgeError(`${dot}key\` is not the key of \`cert\``);
}

function readKey(dot: string, key: string | Buffer, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const locked = code === 'ERR_MISSING_PASSPHRASE' || String(key).includes('ENCRYPTED');
    const what = locked ? 'cannot be opened: give the right `passphrase`' : 'is damaged';
    throw new EdgeError(`${dot}key\` ${what}`, { cause });
  }
}
