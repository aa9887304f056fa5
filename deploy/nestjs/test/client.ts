import { inspect } from 'node:util';

import {
  type Alert,
  type CursorStore,
  type DeviceHandlers,
  type DeviceOptions,
  EdgeDevice,
  type EdgeOptions,
  type EdgeStatus,
  MemoryCursorStore,
} from '../src';
import { ScriptedDevice } from './scripted';
import { waitUntil } from './support';

/** What closeAll() is to end, the last one first. */
export const open: Array<{ stop?(): unknown; close?(): unknown }> = [];

/** Ends what the test began. */
export async function closeAll(): Promise<void> {
  for (const thing of open.splice(0).reverse()) await (thing.stop?.() ?? thing.close?.());
}

export async function scripted(...args: ConstructorParameters<typeof ScriptedDevice>): Promise<ScriptedDevice> {
  const device = await new ScriptedDevice(...args).listen();
  open.push(device);
  return device;
}

/** A client, and what came out of it. */
export class Client {
  readonly given: Alert[] = [];
  readonly statuses: EdgeStatus[] = [];
  readonly edge: EdgeDevice;

  constructor(
    server: ScriptedDevice,
    readonly store: CursorStore = new MemoryCursorStore(),
    options: Partial<DeviceOptions> = {},
    handlers: DeviceHandlers = {},
    shared: Pick<EdgeOptions, 'giveUp'> = {},
  ) {
    this.edge = new EdgeDevice(
      { deviceId: 'edge-01', host: '127.0.0.1', port: server.port, random: () => 0, ...options },
      {
        alert: (alert) => void this.given.push(alert),
        status: (status) => void this.statuses.push(status),
        ...handlers,
      },
      { cursors: store, ...shared },
    );
    open.push(this.edge);
    this.edge.start();
  }

  get seqs(): Array<number | undefined> {
    return this.given.map((alert) => alert.seq);
  }

  of(event: EdgeStatus['event']): EdgeStatus[] {
    return this.statuses.filter((status) => status.event === event);
  }

  async connected(times = 1): Promise<this> {
    await waitUntil(() => this.of('connected').length >= times, `connected: ${inspect(this.statuses)}`);
    return this;
  }

  /** The reason of the first lost connection. */
  async lost(): Promise<string> {
    await waitUntil(() => this.of('lost').length > 0, 'lost');
    const [status] = this.of('lost');
    return status?.event === 'lost' ? status.reason : '';
  }
}

export function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
