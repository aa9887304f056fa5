import { Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { type Observable, Subject } from 'rxjs';

import type { EdgeDevice } from './device';
import { EdgeError } from './errors';
import { Fleet, StatusLog } from './fleet';
import type { DeviceHandlers } from './handlers';
import type { Alert, DetectionResult, Health, Topic, VideoFrame } from './messages';
import type { DeviceOptions, EdgeOptions } from './options';
import type { EdgeStatus } from './status';

/** A message, and whose it is. */
export interface EdgeEvent<T> {
  deviceId: string;
  message: T;
}

export interface EdgeStreamsOptions extends EdgeOptions {
  /**
   * Deals with each alert before `alerts$` has it. Its success moves the device's cursor, its failure means: again,
   * after a while.
   */
  onAlert?: (alert: Alert, context: { device: EdgeDevice; attempt: number }) => unknown;
}

/**
 * Many devices as RxJS streams, for code that is no Nest controller.
 *
 * The streams are hot: who subscribes later has missed what was before. Without `onAlert`, an alert counts as dealt
 * with when every subscriber of `alerts$` was called; an operator that works on asynchronously (mergeMap, ...) is not
 * waited for, so that its work is lost in a crash: use `onAlert` for what must not be. While nobody is subscribed to
 * `alerts$` and there is no `onAlert`, alerts stay with the device. A subscriber that blocks holds up everything; one
 * with an asynchronous queue of its own must bound it (`auditTime`, `exhaustMap`, ...), since nothing is dropped here.
 */
export class EdgeStreams implements OnApplicationBootstrap, OnModuleDestroy {
  readonly alerts$: Observable<EdgeEvent<Alert>>;
  readonly detections$: Observable<EdgeEvent<DetectionResult>>;
  /** Pictures of devices whose `subscribe` has `frames`. */
  readonly frames$: Observable<EdgeEvent<VideoFrame>>;
  readonly health$: Observable<EdgeEvent<Health>>;
  readonly status$: Observable<EdgeStatus>;
  private readonly alerts = new Subject<EdgeEvent<Alert>>();
  private readonly detections = new Subject<EdgeEvent<DetectionResult>>();
  private readonly frames = new Subject<EdgeEvent<VideoFrame>>();
  private readonly health = new Subject<EdgeEvent<Health>>();
  private readonly statuses = new Subject<EdgeStatus>();
  private readonly onAlert: EdgeStreamsOptions['onAlert'];
  private readonly fleet: Fleet;
  private readonly logger = new Logger(EdgeStreams.name);
  private readonly log = new StatusLog(this.logger);

  constructor(options: EdgeStreamsOptions) {
    if (options.onAlert !== undefined && typeof options.onAlert !== 'function') {
      throw new EdgeError('`onAlert` must be a function');
    }
    this.onAlert = options.onAlert;
    this.fleet = new Fleet(options, (device) => this.handlers(device), this.logger);
    this.alerts$ = this.alerts.asObservable();
    this.detections$ = this.detections.asObservable();
    this.frames$ = this.frames.asObservable();
    this.health$ = this.health.asObservable();
    this.status$ = this.statuses.asObservable();
  }

  get devices(): EdgeDevice[] {
    return this.fleet.devices;
  }

  device(deviceId: string): EdgeDevice | undefined {
    return this.fleet.get(deviceId);
  }

  /** Begins to connect to one more device. */
  add(options: DeviceOptions): EdgeDevice {
    return this.fleet.add(options, topics);
  }

  /** Lets the alert in hand finish, and hangs up. */
  remove(deviceId: string): Promise<void> {
    return this.fleet.remove(deviceId);
  }

  /** Nest calls it when every module is ready; without Nest, call it yourself. */
  async onApplicationBootstrap(): Promise<void> {
    await this.fleet.start(topics);
  }

  /** Nest calls it at the end, while databases are still there; the streams end with it. */
  async onModuleDestroy(): Promise<void> {
    await this.fleet.stop();
    for (const subject of [this.alerts, this.detections, this.frames, this.health, this.statuses]) subject.complete();
  }

  private handlers(device: () => EdgeDevice): DeviceHandlers {
    return {
      alert: (alert, attempt) => this.giveAlert(device(), alert, attempt),
      detection: (message) => this.detections.next({ deviceId: device().id, message }),
      frame: (message) => this.frames.next({ deviceId: device().id, message }),
      health: (message) => this.health.next({ deviceId: device().id, message }),
      status: (status) => {
        this.log.tell(status);
        this.statuses.next(status);
      },
    };
  }

  private async giveAlert(device: EdgeDevice, message: Alert, attempt: number): Promise<void> {
    if (!this.onAlert && !this.alerts.observed) throw new EdgeError('nobody is subscribed to alerts$');
    await this.onAlert?.(message, { device, attempt });
    this.alerts.next({ deviceId: device.id, message });
  }
}

function topics(options: DeviceOptions): Topic[] {
  return options.subscribe ?? ['alerts', 'detections', 'health'];
}
