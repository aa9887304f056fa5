import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

import { EdgeError } from './errors';

/** The challenge-response login: both sides show that they know a key, and the key itself never travels. */

const LEAST_SECRET_BYTES = 32;

/** What both codes are made over, besides the key. Nonces are 64 lowercase hex digits. */
export interface LoginTerms {
  keyId: string;
  deviceId: string;
  /** `tcp:NAME` or `tls:NAME`: one's own side of the connection, and the name that the welcome gave. */
  listener: string;
  serverNonce: string;
  clientNonce: string;
}

/** A key and its name. The secret (hexadecimal, 32 bytes or more, as in the device's key file) is not shown by it. */
export class LoginKey {
  readonly #secret: KeyObject;

  constructor(
    readonly keyId: string,
    secret: string,
  ) {
    if (!/^([0-9a-f]{2})+$/i.test(secret) || secret.length < 2 * LEAST_SECRET_BYTES) {
      throw new EdgeError(
        `the secret of key "${keyId}" must be hexadecimal and of ${LEAST_SECRET_BYTES} bytes or more`,
      );
    }
    this.#secret = createSecretKey(Buffer.from(secret, 'hex'));
  }

  /** What the client sends in hello.auth. */
  mac(terms: LoginTerms): string {
    return this.#code('client', terms);
  }

  /** What the device must answer in hello_ok. */
  proof(terms: LoginTerms): string {
    return this.#code('server', terms);
  }

  /** Whether `given` is the device's proof; takes the same time whatever it is. */
  proves(terms: LoginTerms, given: unknown): boolean {
    const expected = Buffer.from(this.proof(terms));
    const actual = Buffer.from(typeof given === 'string' ? given : '');
    return actual.length === expected.length && timingSafeEqual(actual, expected);
  }

  #code(side: 'client' | 'server', terms: LoginTerms): string {
    const { keyId, deviceId, listener, serverNonce, clientNonce } = terms;
    const parts = [`preact-edge-v1 ${side}`, keyId, deviceId, listener, serverNonce, clientNonce];
    return createHmac('sha256', this.#secret).update(parts.join('\0')).digest('hex');
  }
}
