import type { Resume, Role, Welcome } from './messages';

/** What became of a device's connection, or of something on it. */
export type EdgeStatus =
  | {
      deviceId: string;
      event: 'connected';
      /** The second connection, which only carries pictures, has events of its own. */
      connection: 'main' | 'frames';
      welcome: Welcome;
      /** undefined: plain, or the device has no store of alerts open. */
      resume?: Resume;
      role?: Role;
    }
  | {
      deviceId: string;
      /** Not connected, or not any more; the next attempt comes in `retryMs`. */
      event: 'lost';
      connection: 'main' | 'frames';
      /** One line that says what to do. */
      reason: string;
      /** The device's or Node's, where there is one. */
      code: string;
      retryMs: number;
      /** For logs: its `cause` is what Node or OpenSSL said. */
      error: Error;
    }
  /** `missed` alerts before number `from` are gone for good: the device could not keep them for so long. */
  | { deviceId: string; event: 'gap'; stream: string; missed: number; from: number }
  /** The device's alerts begin anew (another card, a restored backup): all that it has are given, from `from` on. */
  | { deviceId: string; event: 'reset'; stream: string; from: number }
  /** A handler or the cursor store failed, or the device complained. */
  | { deviceId: string; event: 'warning'; reason: string; code: string }
  | { deviceId: string; event: 'stopped' };
