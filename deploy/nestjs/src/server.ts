import { Logger } from '@nestjs/common';
import { type CustomTransportStrategy, Server } from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';

import { EdgeContext } from './context';
import type { EdgeDevice } from './device';
import { EdgeError, reasonOf } from './errors';
import { Fleet, StatusLog } from './fleet';
import type { DeviceHandlers } from './handlers';
import type { Topic } from './messages';
import type { DeviceOptions, EdgeOptions } from './options';
import type { EdgeStatus } from './status';

/** The patterns that a controller may handle with @EventPattern, and what each needs from the device. */
const TOPICS = { alert: 'alerts', detection_result: 'detections', video_frame: 'frames', health: 'health' } as const;
const STATUS = 'edge.status';
type Pattern = keyof typeof TOPICS;

/**
 * Devices as a Nest transport: `app.connectMicroservice({ strategy: new EdgeTransport({ devices, cursors }) })`.
 *
 * Patterns: `alert`, `detection_result`, `video_frame`, `health` (what no controller handles is not asked for), and
 * `edge.status` with an EdgeStatus. An alert's cursor moves when the handler's promise or observable has completed; if
 * it fails, the alert is given again after 0.25 to 30 s, and the device's later alerts wait. Failures of the other
 * handlers are logged and the message is gone. An exception filter that turns a failure into a value makes it a
 * success.
 */
export class EdgeTransport extends Server<Record<string, never>> implements CustomTransportStrategy {
  override transportId = Symbol('preact-edge');
  /** Nest 12: failures come here, where they count, and are not only logged. */
  override readonly propagatesEventHandlerErrors = true;
  protected override readonly logger = new Logger(EdgeTransport.name);
  private readonly fleet: Fleet;
  private listening = false;
  private readonly log = new StatusLog(this.logger);

  constructor(options: EdgeOptions) {
    super();
    this.fleet = new Fleet(options, (device) => this.handlersFor(device), this.logger);
  }

  get devices(): EdgeDevice[] {
    return this.fleet.devices;
  }

  device(deviceId: string): EdgeDevice | undefined {
    return this.fleet.get(deviceId);
  }

  /** Begins to connect to one more device; after listen(), when it is known what the controllers handle. */
  add(options: DeviceOptions): EdgeDevice {
    if (!this.listening) throw new EdgeError('add devices after app.listen(), or name them in `devices`');
    return this.fleet.add(options, (all) => this.topics(all));
  }

  /** Lets the alert in hand finish, and hangs up. */
  remove(deviceId: string): Promise<void> {
    return this.fleet.remove(deviceId);
  }

  listen(callback: (error?: unknown) => void): void {
    this.listening = true;
    this.fleet.start((all) => this.topics(all)).then(() => callback(), callback);
  }

  close(): Promise<void> {
    return this.fleet.stop();
  }

  /** There are no events besides the patterns. */
  on(): never {
    throw new Error('EdgeTransport has no events: handle the pattern edge.status');
  }

  /** The devices. */
  unwrap<T = EdgeDevice[]>(): T {
    return this.fleet.devices as T;
  }

  private topics(options: DeviceOptions): Topic[] {
    const handled = (Object.keys(TOPICS) as Pattern[]).filter((pattern) => this.getHandlerByPattern(pattern));
    const topics = handled.map((pattern) => TOPICS[pattern]);
    return topics.filter((topic) => options.subscribe?.includes(topic) ?? true);
  }

  private handlersFor(device: () => EdgeDevice): DeviceHandlers {
    return {
      alert: (alert, attempt) => this.dispatch('alert', alert, device(), attempt),
      detection: (result) => this.dispatch('detection_result', result, device()),
      frame: (frame) => this.dispatch('video_frame', frame, device()),
      health: (health) => this.dispatch('health', health, device()),
      status: (status) => this.tell(status, device()),
    };
  }

  private tell(status: EdgeStatus, device: EdgeDevice): void {
    this.log.tell(status);
    if (!this.getHandlerByPattern(STATUS)) return;
    this.dispatch(STATUS, status, device).catch((error: unknown) => {
      this.logger.error(`the handler of ${STATUS} failed: ${reasonOf(error)}`);
    });
  }

  /** Calls the pattern's handlers; resolves when all of them have completed. */
  private dispatch(pattern: string, data: unknown, device: EdgeDevice, attempt = 1): Promise<void> {
    const handler = this.getHandlerByPattern(pattern);
    if (!handler) return Promise.resolve();
    const context = new EdgeContext([device, attempt]);
    return new Promise((resolve, reject) => {
      const work = async (): Promise<void> => {
        try {
          const outcome: unknown = await handler(data, context);
          if (isObservable(outcome)) await lastValueFrom(outcome, { defaultValue: undefined });
          resolve();
        } catch (error) {
          reject(error as Error);
        } finally {
          this.onProcessingEndHook?.(this.transportId, context);
        }
      };
      this.onProcessingStartHook(this.transportId, context, work);
    });
  }
}
