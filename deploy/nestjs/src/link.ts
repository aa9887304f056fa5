import type { Socket } from 'node:net';

import type { Backoff } from './backoff';
import { Connection, type ConnectionOwner, type ConnectionSettings } from './connection';
import type { ClientMessage, HelloOk, ServerMessage, Welcome } from './messages';
import { wait } from './wait';

const SETTLED_MS = 10_000; // a plain connection that lasted for so long was a good one

/** What a Link tells and asks its owner; the rest is as with a Connection. */
export interface LinkOwner extends Omit<ConnectionOwner, 'closed'> {
  /** Before each attempt; its failure counts as the attempt's. */
  prepare(): Promise<void>;
  lost(reason: Error, retryMs: number): void;
}

/** Where connections come from. */
export interface Source {
  open(signal: AbortSignal): Promise<Socket>;
  /** The device makes them, with waits of its own: after one there is nothing to wait for but the next. */
  comesBack: boolean;
}

/** Keeps one connection to a device up until it is stopped. */
export class Link {
  private connection: Connection | undefined;
  private readonly stopping = new AbortController();
  private retryAfterMs = 0;
  private opened = false; // in the present attempt
  private settled: NodeJS.Timeout | undefined;

  constructor(
    private readonly source: Source,
    private readonly settings: ConnectionSettings,
    private readonly owner: LinkOwner,
    private readonly backoff: Backoff,
  ) {}

  /** Connects, and connects again whenever the connection is lost; returns when stopped. */
  async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const reason = await this.attempt();
      if (this.stopping.signal.aborted) return;
      const retryMs = this.source.comesBack && this.opened ? 0 : this.retryAfterMs + this.backoff.next();
      this.owner.lost(reason, retryMs);
      await wait(retryMs, this.stopping.signal);
    }
  }

  stop(): void {
    this.stopping.abort();
    this.connection?.close();
  }

  send(message: ClientMessage): boolean {
    return this.connection?.send(message) ?? false;
  }

  /** Another connection came: is this one still there? */
  probe(): void {
    this.connection?.probe();
  }

  pause(): void {
    this.connection?.pause();
  }

  resume(): void {
    this.connection?.resume();
  }

  /** One connection from its beginning to its end, whose reason it gives. */
  private async attempt(): Promise<Error> {
    try {
      this.retryAfterMs = 0;
      this.opened = false;
      await this.owner.prepare();
      const socket = await this.source.open(this.stopping.signal);
      this.opened = true;
      return await new Promise((closed) => {
        this.connection = new Connection(socket, this.settings, {
          hello: (welcome) => this.owner.hello(welcome),
          ready: (welcome, ok) => this.ready(welcome, ok),
          message: (message) => this.message(message),
          closed,
        });
      });
    } catch (error) {
      return error as Error;
    } finally {
      clearTimeout(this.settled);
      this.connection = undefined;
    }
  }

  private ready(welcome: Welcome, ok: HelloOk | undefined): void {
    this.owner.ready(welcome, ok);
    if (ok) this.backoff.reset();
    else this.settled = setTimeout(() => this.backoff.reset(), SETTLED_MS);
  }

  private message(message: ServerMessage): void {
    if (message.type === 'goodbye') this.retryAfterMs = Math.min(Math.max(0, message.retry_after_ms ?? 0), 30_000);
    this.owner.message(message);
  }
}
