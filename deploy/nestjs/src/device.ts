import { inspect } from 'node:util';

import { Acks } from './acks';
import { Backoff } from './backoff';
import { Calls } from './calls';
import type { Commands, ResultOf } from './commands';
import { type ConnectionSettings, TIMING } from './connection';
import { AlertCursor, type CursorStore, loadCursor, Recent } from './cursor';
import { EdgeError, reasonOf } from './errors';
import { check, type DeviceHandlers, type Shared, tellStatus, topicsOf } from './handlers';
import { framesHello, mainHello } from './hello';
import { AlertLane, DroppingLane } from './lanes';
import { Link, type LinkOwner, type Source } from './link';
import { LoginKey } from './login';
import type { Alert, DetectionResult, Health, HelloOk, ServerMessage, Topic, VideoFrame, Welcome } from './messages';
import type { DeviceOptions } from './options';
import type { EdgeStatus } from './status';
import { dial } from './tls';
import { wait } from './wait';

const DETECTIONS_WAITING = 64;
const ALERTS_WAITING = 256;
const COMMAND_MS = 10_000;
const STOP_MS = 5_000; // for the application's own work: the alert in hand, the cursor store

/** One device: keeps the connection up, gives what it says to the handlers, and carries commands to it. */
export class EdgeDevice {
  readonly id: string;
  /** The last event of the main connection. */
  status: EdgeStatus | undefined;
  private readonly topics: Set<Topic>;
  private readonly main: Link;
  private readonly frames: Link | undefined;
  private readonly alerts: AlertLane;
  private readonly detectionLane: DroppingLane<DetectionResult>;
  private readonly frameLane: DroppingLane<VideoFrame>;
  private readonly healthLane: DroppingLane<Health>;
  private readonly acks = new Acks((ack) => this.ready && this.main.send(ack));
  private readonly calls = new Calls((command) => this.ready && this.main.send(command));
  private readonly plainAlerts = new Recent();
  private cursor: AlertCursor | undefined; // once it was loaded
  private ready = false;
  private running: Promise<unknown> | undefined;
  private stopped: Promise<void> | undefined;

  private readonly options: DeviceOptions;

  /** Throws EdgeError where options cannot work. */
  constructor(
    given: DeviceOptions,
    private readonly handlers: DeviceHandlers,
    private readonly shared: Shared = {},
  ) {
    this.topics = topicsOf(given, handlers);
    check(given, this.topics, shared);
    const { auth, plain, ...ofIncoming } = given;
    const options = given.incoming ? ofIncoming : { auth, plain, ...ofIncoming };
    this.options = options;
    this.id = options.deviceId;
    const backoff = (): Backoff => new Backoff(options.random);
    const warn = (what: string) => (error: unknown) => this.warn(`the ${what} handler failed: ${reasonOf(error)}`);
    this.alerts = new AlertLane(options.alertQueue ?? ALERTS_WAITING, this.alertWork(shared.cursors), backoff);
    this.detectionLane = new DroppingLane(
      DETECTIONS_WAITING,
      (result) => handlers.detection?.(result),
      warn('detection'),
    );
    this.frameLane = new DroppingLane(1, (frame) => handlers.frame?.(frame), warn('frame'));
    this.healthLane = new DroppingLane(1, (health) => handlers.health?.(health), warn('health'));
    this.main = this.link(this.mainOwner());
    if (this.topics.has('frames') && !this.single) this.frames = this.link(this.framesOwner());
  }

  /** Detection results and pictures that the handlers were too slow for. */
  get dropped(): { detections: number; frames: number } {
    return { detections: this.detectionLane.dropped, frames: this.frameLane.dropped };
  }

  /** It connects to us. */
  get incoming(): boolean {
    return this.options.incoming ?? false;
  }

  get connected(): boolean {
    return this.ready;
  }

  /** What logs and inspectors show: no options, since they hold secrets. */
  toJSON(): object {
    return { id: this.id, connected: this.connected, dropped: this.dropped };
  }

  [inspect.custom](): string {
    return `EdgeDevice ${JSON.stringify(this)}`;
  }

  /** Begins to connect; once. */
  start(): void {
    this.running ??= Promise.all([this.main.run(), this.frames?.run()]);
  }

  /** Lets the alert that is with its handler finish (at most 5 s), acknowledges it, and hangs up for good. */
  stop(): Promise<void> {
    this.stopped ??= this.end();
    return this.stopped;
  }

  /** It came on another connection while this one seems to stand. */
  cameAnew(): void {
    this.main.probe();
  }

  /**
   * Has the device do something. While it cannot be reached the command waits, and one whose connection broke is sent
   * again under its id, which the device does only once. Throws CommandError: the device's code, or `timeout`.
   */
  async command<Name extends keyof Commands, Args extends Commands[Name]['args'] = Commands[Name]['args']>(
    cmd: Name,
    args: Args,
    timeoutMs = COMMAND_MS,
  ): Promise<ResultOf<Name, Args>> {
    if (this.options.plain) throw new EdgeError(`device "${this.id}" is plain: it takes no commands`);
    if (this.stopped) throw new EdgeError(`device "${this.id}" was stopped`);
    return (await this.calls.start(cmd, args, timeoutMs)) as ResultOf<Name, Args>;
  }

  private get resumes(): boolean {
    return this.topics.has('alerts') && !this.options.plain;
  }

  /** One connection carries everything: a second one cannot be had, or would bring everything twice. */
  private get single(): boolean {
    return this.options.plain === true || this.incoming;
  }

  private link(owner: LinkOwner): Link {
    const { deviceId, auth, plain = false, timing, random } = this.options;
    const settings: ConnectionSettings = {
      deviceId,
      plain,
      timing: { ...TIMING, ...timing },
      ...(auth && { key: new LoginKey(auth.keyId, auth.secret) }),
    };
    return new Link(this.source(settings.timing.connectMs), settings, owner, new Backoff(random));
  }

  private source(timeoutMs: number): Source {
    const { deviceId, host = 'localhost', port = 8080, tls, incoming } = this.options;
    const { gateway } = this.shared;
    if (incoming && gateway) return { open: (signal) => gateway.next(deviceId, signal), comesBack: true };
    const target = { deviceId, host, port, ...(tls && { tls }) };
    return { open: (signal) => dial(target, timeoutMs, signal), comesBack: false };
  }

  private mainOwner(): LinkOwner {
    return {
      prepare: () => this.prepare(),
      hello: () => mainHello(this.options, this.topics, this.cursor?.position),
      ready: (welcome, ok) => this.begin(welcome, ok),
      message: (message) => this.receive(message),
      lost: (error, retryMs) => this.lose('main', error, retryMs),
    };
  }

  private framesOwner(): LinkOwner {
    return {
      prepare: async () => undefined,
      hello: () => framesHello(this.options),
      ready: (welcome, ok) => {
        this.tell({ deviceId: this.id, event: 'connected', connection: 'frames', welcome });
        if (!ok?.subscribed.includes('frames')) this.warn('this listener sends no pictures', 'no_frames');
      },
      message: (message) => {
        if (message.type === 'video_frame') this.frameLane.push(message);
      },
      lost: (error, retryMs) => this.lose('frames', error, retryMs),
    };
  }

  private alertWork(cursors: CursorStore | undefined): ConstructorParameters<typeof AlertLane>[1] {
    return {
      give: (alert, attempt) => this.handlers.alert?.(alert, attempt),
      giveUp: (alert, error, attempt) => this.shared.giveUp?.(alert, error, attempt) ?? false,
      save: (cursor) => cursors?.save(this.id, cursor),
      moved: (cursor) => {
        if (this.options.consumer !== undefined) this.acks.moved(cursor);
      },
      failed: (what, retryMs) => this.warn(`${what}; again in ${(retryMs / 1_000).toFixed(1)} s`),
      slow: (what) => this.warn(what, 'slow'),
    };
  }

  /** Before each attempt: the cursor is needed for the hello, and room for what will come. */
  private async prepare(): Promise<void> {
    await this.alerts.room();
    const { cursors } = this.shared;
    if (this.cursor || !this.resumes || !cursors) return;
    const { connectMs } = { ...TIMING, ...this.options.timing };
    this.cursor = new AlertCursor(await loadCursor(cursors, this.id, connectMs));
  }

  private begin(welcome: Welcome, ok: HelloOk | undefined): void {
    const known = this.cursor?.position;
    const moved = ok && this.cursor?.begin(ok);
    this.ready = true;
    const answer = ok ? { role: ok.role, ...(ok.resume && { resume: ok.resume }) } : {};
    this.tell({ deviceId: this.id, event: 'connected', connection: 'main', welcome, ...answer });
    const tellLoss = (): void => ok && this.tellLoss(ok, known !== undefined);
    if (moved) this.alerts.push({ give: false, cursor: moved }, undefined, tellLoss);
    this.acks.flush();
    this.calls.sendAll();
  }

  /** After the alerts from before it. A reset is none for who knew nothing before. */
  private tellLoss({ resume, stream = '' }: HelloOk, known: boolean): void {
    if (!resume) return;
    const { status, from, missed } = resume;
    if (status === 'gap') this.tell({ deviceId: this.id, event: 'gap', stream, missed, from });
    if (status === 'reset' && known) this.tell({ deviceId: this.id, event: 'reset', stream, from });
  }

  private receive(message: ServerMessage): void {
    if (message.type === 'alert') this.receiveAlert(message);
    else if (message.type === 'detection_result') this.receiveResult(message);
    else if (message.type === 'video_frame') this.receiveFrame(message);
    else if (message.type === 'health') this.healthLane.push(message);
    else if (message.type === 'command_result') this.calls.answered(message);
    else if (message.type === 'error') this.warn(message.message, message.code);
  }

  private receiveResult(result: DetectionResult): void {
    if (this.options.plain) for (const alert of result.alerts ?? []) this.receiveAlert(alert);
    if (this.topics.has('detections')) this.detectionLane.push(result);
  }

  /** Other pictures have a connection of their own. */
  private receiveFrame(frame: VideoFrame): void {
    if (this.single && this.topics.has('frames')) this.frameLane.push(frame);
  }

  private receiveAlert(alert: Alert): void {
    if (!this.topics.has('alerts')) return;
    if (this.cursor) this.alerts.push(this.cursor.accept(alert), alert);
    else this.receivePlainAlert(alert);
    if (this.alerts.full) this.waitForRoom();
  }

  /** A device may send each both as a message and in its result. */
  private receivePlainAlert(alert: Alert): void {
    const label = `${alert.alert_id} ${alert.timestamp}`;
    if (this.plainAlerts.get(label)) return;
    this.plainAlerts.set(label, true);
    this.alerts.push({ give: true }, alert);
  }

  /** Reading stops until the alert handler has caught up by half. */
  private waitForRoom(): void {
    this.main.pause();
    void this.alerts.room().then(() => this.main.resume());
  }

  private lose(connection: 'main' | 'frames', error: Error, retryMs: number): void {
    if (connection === 'main') this.ready = false;
    const { code = '' } = error as { code?: string };
    this.tell({ deviceId: this.id, event: 'lost', connection, reason: reasonOf(error), code, retryMs, error });
  }

  private warn(reason: string, code = ''): void {
    this.tell({ deviceId: this.id, event: 'warning', reason, code });
  }

  private tell(status: EdgeStatus): void {
    const ofMain = 'connection' in status ? status.connection === 'main' : status.event === 'stopped';
    if (ofMain) this.status = status;
    tellStatus(this.handlers, status);
  }

  private async end(): Promise<void> {
    const done = new AbortController();
    const bound = wait(STOP_MS, done.signal);
    await Promise.race([this.alerts.stop(), bound]);
    this.acks.flush();
    this.acks.close();
    this.calls.close();
    for (const lane of [this.detectionLane, this.frameLane, this.healthLane]) lane.close();
    this.main.stop();
    this.frames?.stop();
    await Promise.race([this.running, bound]); // a cursor store may never answer
    done.abort();
    this.ready = false;
    this.tell({ deviceId: this.id, event: 'stopped' });
  }
}
