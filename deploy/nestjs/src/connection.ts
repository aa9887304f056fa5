import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

import { BehindError, ConnectionError, EdgeError, ProtocolError } from './errors';
import { meaningOf, refusalOf } from './faults';
import { encode, MessageReader, type RawMessage } from './framing';
import type { LoginKey, LoginTerms } from './login';
import {
  type ClientMessage,
  type Hello,
  type HelloOk,
  isServerMessage,
  type ServerMessage,
  type Welcome,
} from './messages';

/** Milliseconds; the defaults are the protocol's. */
export interface Timing {
  /** Until the connection stands (TCP, TLS), then until the welcome, then until hello_ok. */
  connectMs: number;
  /** A device that was silent for so long is gone; Node has no TCP_USER_TIMEOUT that would tell. */
  idleMs: number;
  /** Longest time without reading: the device gives up after 10 s. */
  pauseMs: number;
}

export const TIMING: Timing = { connectMs: 10_000, idleMs: 25_000, pauseMs: 8_000 };

export interface ConnectionSettings {
  deviceId: string;
  /** Never sends a byte: for devices and listeners that know no hello. */
  plain: boolean;
  key?: LoginKey;
  timing: Timing;
}

/** What a Connection tells its owner, never from inside a call of the owner's. */
export interface ConnectionOwner {
  /** What to say after this welcome; `auth` is filled in by the connection. */
  hello(welcome: Welcome): Hello;
  /** Messages flow from now on; `ok` is undefined for a plain connection. */
  ready(welcome: Welcome, ok: HelloOk | undefined): void;
  message(message: ServerMessage): void;
  /** Once, at the end, whoever ended it. */
  closed(reason: Error): void;
}

type State = 'welcome' | 'hello' | 'ready' | 'closed';

const MAX_UNSENT = 256 * 1024; // a device that takes nothing for so long is not worth waiting for
const FAREWELL_MS = 1_000; // for what was sent last to leave
const PROBE_MS = 3_000; // less than the 5 s that a device waits for a hello
const CHECKS = 8; // of the idle time, in each heartbeat
const BATCH = 32; // messages read before handlers, timers and other connections have their turn

/** One connection's life, from a connected socket to its end. */
export class Connection {
  private readonly reader = new MessageReader();
  private state: State = 'welcome';
  private paused = false;
  private stalledAt: number | undefined; // since then the socket was not read, over several pauses perhaps
  private welcome!: Welcome;
  private terms: LoginTerms | undefined; // of a login whose proof is awaited
  private maxInbound = 4096;
  private heardAt = performance.now();
  private checkedAt = performance.now();
  private pingedAt = 0;
  private heartbeatMs: number;
  private readonly idleMs: number;
  private patienceMs: number; // less than idleMs while the device is probed
  private deadline: NodeJS.Timeout | undefined; // of the welcome, of hello_ok, of a pause
  private readonly checkMs: number;
  private readonly watch: NodeJS.Timeout;
  private nextBatch: NodeJS.Immediate | undefined; // while one is due, the socket is not read

  constructor(
    private readonly socket: Socket,
    private readonly settings: ConnectionSettings,
    private readonly owner: ConnectionOwner,
  ) {
    this.idleMs = this.patienceMs = settings.timing.idleMs;
    this.heartbeatMs = this.idleMs / 2.5;
    this.checkMs = Math.min(1_000, this.heartbeatMs / CHECKS);
    this.watch = setInterval(() => this.check(), this.checkMs);
    this.within('no welcome came', 'a listener with TLS waits for `tls`');
    socket.on('data', (piece: Buffer) => this.receive(piece));
    socket.on('end', () => this.finish());
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.finish(new ConnectionError(`the connection broke: ${meaningOf(error)}`, error.code, { cause: error })),
    );
    socket.on('close', () => this.finish(new ConnectionError('the connection broke')));
  }

  /** Sends; false when there is nothing to send on. EdgeError when the message is longer than the device takes. */
  send(message: ClientMessage): boolean {
    if (this.state === 'closed' || this.settings.plain || !this.socket.writable) return false;
    const bytes = encode(message, this.reader.framing ?? 'length', this.reader.byteorder);
    if (bytes.length > this.maxInbound) {
      throw new EdgeError(`a ${message.type} of ${bytes.length} bytes: the device takes ${this.maxInbound}`);
    }
    this.socket.write(bytes);
    if (this.socket.writableLength > MAX_UNSENT) this.end(new ConnectionError('the device takes nothing any more'));
    return true;
  }

  /** Stops reading; a socket unread for longer than `pauseMs` ends the connection, since the device would. */
  pause(): void {
    if (this.paused || this.state === 'closed') return;
    this.paused = true;
    this.socket.pause();
    const { pauseMs } = this.settings.timing;
    this.stalledAt ??= performance.now();
    clearTimeout(this.deadline);
    const behind = new BehindError(`the alert handler or the cursor store did not catch up in ${pauseMs / 1_000} s`);
    this.deadline = setTimeout(() => this.end(behind), this.stalledAt + pauseMs - performance.now());
  }

  /** Reads on, beginning with what had come already. */
  resume(): void {
    if (!this.paused || this.state === 'closed') return;
    this.paused = false;
    clearTimeout(this.deadline);
    this.heardAt = performance.now();
    this.readSoon();
  }

  /** Ends the connection politely: what was sent still leaves. */
  close(reason: Error = new ConnectionError('closed')): void {
    this.end(reason);
  }

  /** Ends the connection soon unless something comes: the device seems to be on another one. */
  probe(): void {
    const quiet = performance.now() - this.heardAt;
    this.patienceMs = Math.min(this.idleMs, quiet + PROBE_MS);
    this.send({ type: 'ping', t: Math.round(performance.now()) });
  }

  private receive(piece: Buffer): void {
    this.heardAt = performance.now();
    this.patienceMs = this.idleMs;
    this.reader.push(piece);
    if (!this.nextBatch) this.readOn();
  }

  private readSoon(): void {
    this.nextBatch ??= setImmediate(() => {
      this.nextBatch = undefined;
      this.readOn();
    });
  }

  private readOn(): void {
    try {
      for (let count = 0; count < BATCH; count++) {
        if (this.paused || this.state === 'closed') return;
        const message = this.reader.next();
        if (!message) return this.readSocket();
        this.take(message);
      }
      this.socket.pause();
      this.readSoon();
    } catch (error) {
      this.end(error as Error);
    }
  }

  /** All that had come is taken. */
  private readSocket(): void {
    this.stalledAt = undefined;
    this.socket.resume();
  }

  private take(message: RawMessage): void {
    const known = message as { type: string };
    if (!isServerMessage(known)) return; // a later version's
    if (known.type === 'ping') this.send({ type: 'pong', t: known.t });
    else if (known.type === 'error' && known.fatal) throw refusalOf(known);
    else if (this.state === 'welcome') this.greet(known);
    else if (this.state === 'ready' || known.type === 'error' || known.type === 'goodbye') this.owner.message(known);
    else if (known.type === 'hello_ok') this.begin(known);
    // Anything else before hello_ok is the plain stream's, and does not count.
  }

  private greet(message: ServerMessage): void {
    if (message.type !== 'welcome') throw new ProtocolError(`the first message is a ${message.type}, not a welcome`);
    this.welcome = message;
    const { deviceId, plain } = this.settings;
    if (message.device_id !== undefined && message.device_id !== deviceId) {
      const reason = `this is device "${message.device_id}", not "${deviceId}": correct the address, or \`deviceId\``;
      throw new ConnectionError(reason, 'wrong_device');
    }
    if (plain) this.begin(undefined);
    else this.sayHello();
  }

  private sayHello(): void {
    if (!this.welcome.protocol?.features.includes('resume')) {
      throw new ConnectionError('the device knows no hello: use `plain: true`', 'no_hello');
    }
    this.state = 'hello';
    this.within('no hello_ok came');
    const hello = this.owner.hello(this.welcome);
    const auth = this.login();
    this.send(auth ? { ...hello, auth } : hello);
  }

  /** What proves this client, where both sides ask for it; a device that does not, where a key is given, is refused. */
  private login(): Hello['auth'] {
    const { auth, listener, nonce } = this.welcome.protocol ?? {};
    const { key, deviceId } = this.settings;
    if (auth !== 'hmac' && !key) return undefined;
    if (!key) throw new ConnectionError('the device asks for a login: give `auth`', 'auth_required');
    if (auth !== 'hmac' || typeof nonce !== 'string') {
      throw new ConnectionError('there is a key to log in with, and the device does not ask for it', 'no_login');
    }
    const side = this.encrypted ? 'tls' : 'tcp';
    const clientNonce = randomBytes(32).toString('hex');
    this.terms = { keyId: key.keyId, deviceId, listener: `${side}:${listener ?? ''}`, serverNonce: nonce, clientNonce };
    return { key_id: key.keyId, nonce: clientNonce, mac: key.mac(this.terms) };
  }

  private begin(ok: HelloOk | undefined): void {
    if (this.terms && !this.settings.key?.proves(this.terms, ok?.proof)) {
      throw new ConnectionError('the device could not prove that it knows the key', 'auth_failed');
    }
    clearTimeout(this.deadline);
    this.state = 'ready';
    if (ok) {
      this.maxInbound = ok.max_inbound || this.maxInbound;
      this.heartbeatMs = Math.min(this.heartbeatMs, (ok.heartbeat_s || Infinity) * 1_000);
    }
    this.owner.ready(this.welcome, ok);
  }

  /** Ends the connection unless the next step of its life comes in time. */
  private within(reason: string, advice = ''): void {
    const { connectMs } = this.settings.timing;
    clearTimeout(this.deadline);
    const hint = advice && !this.encrypted ? `: ${advice}` : '';
    const late = new ConnectionError(`${reason} in ${connectMs / 1_000} s${hint}`, 'ETIMEDOUT');
    this.deadline = setTimeout(() => this.end(late), connectMs);
  }

  private get encrypted(): boolean {
    return this.socket instanceof TLSSocket;
  }

  /** The heartbeat, and its end. Time in which this process did not get to read is not the device's silence. */
  private check(): void {
    const now = performance.now();
    const late = now - this.checkedAt - this.checkMs;
    this.checkedAt = now;
    if (late > this.checkMs) this.heardAt = Math.min(now, this.heardAt + late);
    if (this.paused) return;
    const quiet = now - this.heardAt;
    if (quiet >= this.patienceMs) {
      this.end(new ConnectionError(`nothing came for ${Math.round(this.patienceMs) / 1_000} s`, 'idle_timeout'));
    } else if (this.state === 'ready' && quiet >= this.heartbeatMs && now - this.pingedAt >= this.heartbeatMs) {
      this.pingedAt = now;
      this.send({ type: 'ping', t: Math.round(now) });
    }
  }

  /** Nothing more comes. What had come in full is still given, a pause or not: it is 64 KiB at most. */
  private finish(reason?: Error): void {
    try {
      let message: RawMessage | undefined;
      while (this.state !== 'closed' && (message = this.reader.next())) this.take(message);
      this.end(reason ?? this.endOfStream());
    } catch (error) {
      this.end(error as Error);
    }
  }

  private endOfStream(): Error {
    if (this.state === 'welcome') {
      const why = this.encrypted ? 'it refuses our certificate, or' : 'it speaks TLS there (then give `tls`), or';
      return new ConnectionError(`the device hung up before its welcome: ${why} has no place; its log says which`);
    }
    return new ConnectionError(
      this.reader.betweenMessages ? 'the device ended the stream' : 'the stream ended in the middle of a message',
    );
  }

  private end(reason: Error): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    clearInterval(this.watch);
    clearImmediate(this.nextBatch);
    clearTimeout(this.deadline);
    this.socket.removeAllListeners('data').resume(); // a close_notify or an end is seen only by reading
    this.socket.end();
    const farewell = setTimeout(() => this.socket.destroy(), FAREWELL_MS);
    this.socket.once('close', () => clearTimeout(farewell));
    queueMicrotask(() => this.owner.closed(reason));
  }
}
