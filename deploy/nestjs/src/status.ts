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
  /** Not connected, or not any more; the next attempt comes in `retryMs`. `code` is the device's or Node's. */
  | { deviceId: string; event: 'lost'; connection: 'main' | 'frames'; reason: string; code: string; retryMs: number }
  /** `missed` alerts are gone for good: the device could not keep them for so long. */
  | { deviceId: string; event: 'gap'; missed: number }
  /** The device's alerts begin anew (another card, a restored backup): all that it has are given, from `from` on. */
  | { deviceId: string; event: 'reset'; stream: string; from: number }
  /** A handler or the cursor store failed, or the device complained. */
  | { deviceId: string; event: 'warning'; reason: string; code: string }
  | { deviceId: string; event: 'stopped' };
