import { createHmac, randomBytes } from 'node:crypto';
import * as net from 'node:net';
import type { AddressInfo } from 'node:net';
import * as tls from 'node:tls';

import { type Alert, type ByteOrder, encode, type Framing, MessageReader, type RawMessage } from '../src';

/** What a ScriptedDevice is like. */
export interface Script {
  /** Its device_id, if not `edge-01`. */
  id?: string;
  framing?: Framing;
  byteorder?: ByteOrder;
  /** Sizes of the writes. */
  chop?: () => number;
  tls?: tls.TlsOptions;
  login?: { keyId: string; secret: string };
  /** Hangs up at once. */
  mute?: boolean;
  /** Knows no hello. */
  plain?: boolean;
  /** Overrides what hello_ok says. */
  helloOk?: object;
  /** Sent right after the welcome, before any hello. */
  early?: object[];
}

/**
 * A device of the tests' own, which can be told to misbehave: it keeps its alerts in memory, and answers a hello as
 * docs/protocol.md has it. Real ones are met in program.test.ts.
 */
export class ScriptedDevice {
  readonly id: string;
  stream = 'stream-1';
  oldest = 1;
  alerts: Alert[] = [];
  readonly heard: RawMessage[] = [];
  readonly sessions = new Set<ScriptedSession>();
  connections = 0;
  port = 0;
  private server: net.Server | undefined;

  constructor(readonly script: Script = {}) {
    this.id = script.id ?? 'edge-01';
  }

  async listen(): Promise<this> {
    const onSocket = (socket: net.Socket): void => void new ScriptedSession(this, socket);
    const { tls: options } = this.script;
    this.server = options ? tls.createServer(options, onSocket) : net.createServer(onSocket);
    this.server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => this.server?.listen(this.port, '127.0.0.1', resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  get nextSeq(): number {
    return this.oldest + this.alerts.length;
  }

  /** One more alert, stored and sent to who listens. */
  raise(extra: object = {}): Alert {
    const alert = this.store(extra);
    for (const session of this.sessions) if (session.greeted) session.sendAlert(alert);
    return alert;
  }

  store(extra: object = {}): Alert {
    const alert = {
      ...makeAlert(this.nextSeq),
      ...extra,
      durable: true,
      stream: this.stream,
      seq: this.nextSeq,
    } as Alert;
    this.alerts.push(alert);
    return alert;
  }

  broadcast(message: object, jpeg?: Buffer): void {
    for (const session of this.sessions) session.send(message, jpeg);
  }

  hangUp(): void {
    for (const session of this.sessions) session.socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    for (const session of this.sessions) session.socket.destroy();
    await new Promise((resolve) => this.server?.close(resolve) ?? resolve(undefined));
  }
}

export class ScriptedSession {
  greeted = false;
  private readonly reader = new MessageReader();
  private readonly nonce = randomBytes(32).toString('hex');

  constructor(
    private readonly device: ScriptedDevice,
    readonly socket: net.Socket,
  ) {
    device.connections++;
    if (device.script.mute) {
      socket.destroySoon();
      return;
    }
    device.sessions.add(this);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => device.sessions.delete(this));
    // A client's first message is a hello in the same framing: it begins like a welcome.
    socket.on('data', (piece) => this.receive(piece));
    this.send(this.welcome());
    for (const message of device.script.early ?? []) this.send(message);
  }

  send(message: object, jpeg?: Buffer): void {
    const { framing = 'length', byteorder = 'big', chop } = this.device.script;
    const parts = [encode(message, framing, byteorder)];
    if (jpeg) {
      const size = Buffer.alloc(4);
      if (byteorder === 'big') size.writeUInt32BE(jpeg.length);
      else size.writeUInt32LE(jpeg.length);
      parts.push(size, jpeg);
    }
    const bytes = Buffer.concat(parts);
    if (!chop) return void this.socket.write(bytes);
    for (let start = 0; start < bytes.length;) {
      const size = chop();
      this.socket.write(bytes.subarray(start, start + size));
      start += size;
    }
  }

  sendAlert(alert: Alert, replay = false): void {
    this.send({ ...alert, replay, age_s: 0 });
  }

  private welcome(): object {
    const { id, stream, oldest, nextSeq, script } = this.device;
    const welcome = { type: 'welcome', message: 'Connected', mode: 'detection_stream', timestamp: 1, device_id: id };
    const common = { version: 1, listener: 'listener-1', heartbeat_s: 4, max_inbound: 4096 };
    if (script.plain) return { ...welcome, protocol: { ...common, features: [], auth: 'none' } };
    const features = ['resume', 'acks', 'commands', 'frames', 'health'];
    if (script.login) return { ...welcome, protocol: { ...common, features, auth: 'hmac', nonce: this.nonce } };
    return {
      ...welcome,
      protocol: { ...common, features, auth: 'none', stream, oldest_seq: oldest, next_seq: nextSeq },
    };
  }

  private receive(piece: Buffer): void {
    this.reader.push(piece);
    try {
      for (let message = this.reader.next(); message; message = this.reader.next()) this.take(message);
    } catch {
      this.socket.destroy(); // a client that speaks TLS, for example
    }
  }

  private take(message: RawMessage): void {
    this.device.heard.push(message);
    if (message.type === 'hello') this.answer(message);
    else if (message.type === 'ping') this.send({ type: 'pong', t: message.t });
    else if (message.type === 'command') this.obey(message);
  }

  private obey({ id, cmd, args }: RawMessage): void {
    if (cmd === 'restart_camera') return; // never answered
    const ok = cmd === 'explain';
    const error = { code: 'unknown_command', message: `there is no ${String(cmd)}` };
    this.send({ type: 'command_result', id, ok, ...(ok ? { result: { rules: [], args } } : { error }) });
  }

  private answer(hello: RawMessage): void {
    const { device } = this;
    const resume = this.resume(hello.resume as { stream: string; after: number } | string | undefined);
    const { stream, oldest, nextSeq } = device;
    this.send({
      ...{ type: 'hello_ok', session: 's', role: 'control', stream, oldest_seq: oldest, next_seq: nextSeq, resume },
      ...{ subscribed: hello.subscribe, heartbeat_s: 10, max_inbound: 65536 },
      ...(device.script.login && { proof: this.proof(hello.auth as { key_id: string; nonce: string }) }),
      ...device.script.helloOk,
    });
    if (!(hello.subscribe as string[]).includes('alerts')) return;
    this.greeted = true;
    for (const alert of device.alerts.slice(resume.from - oldest)) this.sendAlert(alert, true);
  }

  private resume(wanted: { stream: string; after: number } | string | undefined): {
    status: string;
    from: number;
    missed: number;
  } {
    const { stream, oldest, nextSeq } = this.device;
    if (typeof wanted !== 'object') return { status: 'ok', from: nextSeq, missed: 0 };
    if (wanted.stream !== stream || wanted.after >= nextSeq) return { status: 'reset', from: oldest, missed: 0 };
    if (wanted.after + 1 < oldest) return { status: 'gap', from: oldest, missed: oldest - wanted.after - 1 };
    return { status: 'ok', from: wanted.after + 1, missed: 0 };
  }

  /** Made here anew, so that a mistake in the client's own code is not repeated. */
  private proof(auth: { key_id: string; nonce: string }): string {
    const side = this.device.script.tls ? 'tls' : 'tcp';
    const names = `${auth.key_id}\0${this.device.id}\0${side}:listener-1`;
    const text = `preact-edge-v1 server\0${names}\0${this.nonce}\0${auth.nonce}`;
    return createHmac('sha256', Buffer.from(this.device.script.login?.secret ?? '', 'hex'))
      .update(text)
      .digest('hex');
  }
}

export function makeAlert(number: number): Alert {
  return {
    type: 'alert',
    alert_id: `alert_${1710000000 + number}`,
    timestamp: 1710000000 + number,
    camera_id: 'main',
    threat_level: 'critical',
    confidence: 0.95,
    threat_types: ['cuchillo', 'niño'],
    location: { x: 640, y: 360 },
    detection_count: 2,
    message: 'CRITICAL threat detected: cuchillo, niño 🔪',
    device_id: 'edge-01',
    rule: 'armed person',
    state: 'firing',
    event_uid: `event-${number}`,
  };
}

export function makeResult(number: number): object {
  return {
    ...{ type: 'detection_result', timestamp: number, detection_count: 0, detections: [], frame_id: number },
    ...{
      frame_info: { width: 1280, height: 720, channels: 3 },
      camera_id: 'main',
      status: 'ok',
      model: 'm',
      dropped: 0,
    },
  };
}
