import { checkFleet } from './checks';
import { EdgeDevice } from './device';
import { EdgeError } from './errors';
import { Gateway } from './gateway';
import type { DeviceHandlers } from './handlers';
import type { Topic } from './messages';
import type { DeviceOptions, EdgeOptions } from './options';
import { Repeats } from './repeats';
import type { EdgeStatus } from './status';

/** Many devices, each by its id. */
export class Fleet {
  readonly #options: EdgeOptions; // not shown by inspectors: it holds secrets
  private readonly byId = new Map<string, EdgeDevice>();
  private readonly gateway: Gateway | undefined;
  private stopped = false;

  /** Throws EdgeError where options cannot work: those of the devices too, before one of them is connected to. */
  constructor(
    options: EdgeOptions,
    private readonly handlers: (device: () => EdgeDevice) => DeviceHandlers,
    logger: { warn(text: string): void },
  ) {
    checkFleet(options);
    this.#options = options;
    const repeats = new Repeats();
    const refused = (reason: string): void => {
      const line = repeats.line(reason);
      if (line !== undefined) logger.warn(line);
    };
    const knows = (deviceId: string): boolean => this.byId.get(deviceId)?.incoming ?? false;
    const held = (deviceId: string): void => this.byId.get(deviceId)?.cameAnew();
    if (options.gateway) this.gateway = new Gateway(options.gateway, { knows, held, refused });
  }

  get devices(): EdgeDevice[] {
    return [...this.byId.values()];
  }

  get(deviceId: string): EdgeDevice | undefined {
    return this.byId.get(deviceId);
  }

  /** Begins to connect to the devices of the options; fails as a whole, for example when the gateway cannot listen. */
  async start(topics: (options: DeviceOptions) => Topic[]): Promise<void> {
    await this.gateway?.listen();
    if (this.stopped) return this.gateway?.close();
    try {
      for (const own of this.#options.devices ?? []) this.add(own, topics);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  add(own: DeviceOptions, topics: (options: DeviceOptions) => Topic[]): EdgeDevice {
    if (this.stopped) throw new EdgeError(`device "${own.deviceId}" comes too late: everything was stopped`);
    const options = { ...this.#options.defaults, ...own };
    if (this.byId.has(options.deviceId)) throw new EdgeError(`device "${options.deviceId}" is there already`);
    const { cursors, giveUp } = this.#options;
    const wanted = { ...options, subscribe: topics(options) };
    const device: EdgeDevice = new EdgeDevice(
      wanted,
      this.handlers(() => device),
      { ...(cursors && { cursors }), ...(giveUp && { giveUp }), ...(this.gateway && { gateway: this.gateway }) },
    );
    this.byId.set(device.id, device);
    device.start();
    return device;
  }

  /** Stops the device, if there is one of that id. */
  async remove(deviceId: string): Promise<void> {
    const device = this.byId.get(deviceId);
    await device?.stop();
    if (this.byId.get(deviceId) === device) this.byId.delete(deviceId);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.gateway?.close();
    await Promise.all(this.devices.map((device) => this.remove(device.id)));
  }
}

/**
 * What a log says of a device: a connection that cannot be made is told once for each reason, not at each attempt, and
 * the same warning once a minute.
 */
export class StatusLog {
  private readonly told = new Map<string, string>();
  private readonly repeats = new Repeats();

  constructor(private readonly logger: { log(text: string): void; warn(text: string): void }) {}

  tell(status: EdgeStatus): void {
    const key = `${status.deviceId} ${'connection' in status ? status.connection : ''}`;
    if (status.event === 'lost' && this.told.get(key) === status.reason) return;
    if (status.event === 'lost') this.told.set(key, status.reason);
    if (status.event === 'connected' || status.event === 'stopped') this.told.delete(key);
    const quiet = status.event === 'connected' || status.event === 'stopped';
    const text = `${status.deviceId}: ${describe(status)}`;
    const line = status.event === 'warning' ? this.repeats.line(text) : text;
    if (line !== undefined) this.logger[quiet ? 'log' : 'warn'](line);
  }
}

function describe(status: EdgeStatus): string {
  switch (status.event) {
    case 'connected':
      return status.connection === 'frames' ? 'connected, for pictures' : 'connected';
    case 'lost':
      return `${status.connection === 'frames' ? 'pictures: ' : ''}${status.reason}; trying again`;
    case 'gap':
      return `${status.missed} alerts before ${status.from} are gone: the device could not keep them for so long`;
    case 'reset':
      return `its alerts begin anew, with ${status.from} of stream ${status.stream}`;
    case 'warning':
      return status.reason;
    case 'stopped':
      return 'stopped';
  }
}
