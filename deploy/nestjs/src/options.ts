import type { Timing } from './connection';
import type { CursorStore } from './cursor';
import type { GatewayOptions } from './gateway';
import type { Alert, FrameWishes, Topic } from './messages';
import type { TlsOptions } from './tls';

/** One device, and what is wanted of it. */
export interface DeviceOptions {
  /** As the device's welcome names it; another device at that address is refused. */
  deviceId: string;
  /** Default: localhost. */
  host?: string;
  /** Default: 8080. */
  port?: number;
  /** The device connects to us: see `gateway`. Then host, port, tls, auth and plain do not matter. */
  incoming?: boolean;
  /** TLS 1.3; without it, plain TCP. */
  tls?: TlsOptions;
  /** The login for `auth = "hmac"`; `secret` in hexadecimal. A device that does not ask for it is refused. */
  auth?: { keyId: string; secret: string };
  /** Never send a byte: for listeners without login and devices that know no hello. Nothing is resumed then. */
  plain?: boolean;
  /**
   * Of what has a handler, only this; with EdgeStreams the default is alerts, detections and health. `frames` opens a
   * second connection, so that pictures delay no alert.
   */
  subscribe?: Topic[];
  frames?: FrameWishes;
  /** A name of this application's: the device keeps alerts for it, up to its limits, until they are acknowledged. */
  consumer?: string;
  /**
   * Where to begin while the cursor store knows nothing: `now`, with the `oldest` alert that the device has, or after
   * this consumer's `last_ack`. Default: last_ack with a consumer, else now.
   */
  start?: 'now' | 'oldest' | 'last_ack';
  /** Alerts that may wait for the handler before reading stops. Default: 256. */
  alertQueue?: number;
  /** For tests, and networks with times of their own. */
  timing?: Partial<Timing>;
  /** Numbers from 0 (inclusive) to 1 (exclusive) for the waits between attempts. Default: Math.random. */
  random?: () => number;
}

/** Devices, and what holds for all of them. */
export interface EdgeOptions {
  devices?: DeviceOptions[];
  /** Where devices with `incoming` connect. */
  gateway?: GatewayOptions;
  /** What each device's own options are laid over. */
  defaults?: Partial<DeviceOptions>;
  /** Needed unless every device is `plain`, or no alerts are wanted. */
  cursors?: CursorStore;
  /**
   * Asked when the handler failed with an alert: true leaves it out for good, false (the default) tries again after a
   * while. No alert overtakes another: the device's later ones wait meanwhile.
   */
  giveUp?: (alert: Alert, error: unknown, attempt: number) => boolean | Promise<boolean>;
}
