import { checkDevice } from './checks';
import type { CursorStore } from './cursor';
import { EdgeError, reasonOf } from './errors';
import type { Gateway } from './gateway';
import type { Alert, DetectionResult, Health, Topic, VideoFrame } from './messages';
import type { DeviceOptions, EdgeOptions } from './options';
import type { EdgeStatus } from './status';

/** What to do with what a device says. A promise is waited for before the next of its kind is given. */
export interface DeviceHandlers {
  /** Its success moves the cursor, its failure means: again, after a while. `attempt` counts from 1. */
  alert?(alert: Alert, attempt: number): unknown;
  detection?(result: DetectionResult): unknown;
  frame?(frame: VideoFrame): unknown;
  health?(health: Health): unknown;
  /** Not waited for; its failure is a warning of the process, as nobody else can be told. */
  status?(status: EdgeStatus): unknown;
}

/** What devices of one application have in common. */
export interface Shared {
  cursors?: CursorStore;
  giveUp?: EdgeOptions['giveUp'];
  gateway?: Gateway;
}

/** What to ask a device for: nothing that nobody handles. */
export function topicsOf({ subscribe }: DeviceOptions, handlers: DeviceHandlers): Set<Topic> {
  const { alert, detection, frame, health } = handlers;
  const handled = { alerts: alert, detections: detection, frames: frame, health };
  const topics = (Object.keys(handled) as Topic[]).filter((topic) => handled[topic]);
  return new Set(topics.filter((topic) => subscribe?.includes(topic) ?? true));
}

/** Refuses options that cannot work. */
export function check(options: DeviceOptions, topics: Set<Topic>, shared: Shared): void {
  checkDevice(options);
  const { deviceId, incoming, plain } = options;
  if (incoming && !shared.gateway) throw new EdgeError(`device "${deviceId}" needs a gateway to come in by`);
  if (topics.has('alerts') && !plain && !shared.cursors) {
    throw new EdgeError(`device "${deviceId}" needs a cursor store for its alerts`);
  }
}

/** Tells a status handler, whose failure must not end what told it. */
export function tellStatus(handlers: DeviceHandlers, status: EdgeStatus): void {
  const failed = (error: unknown): void =>
    process.emitWarning(`the status handler of ${status.deviceId} failed: ${reasonOf(error)}`, 'EdgeWarning');
  try {
    Promise.resolve(handlers.status?.(status)).catch(failed);
  } catch (error) {
    failed(error);
  }
}
