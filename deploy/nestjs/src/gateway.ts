import type { AddressInfo, Socket } from 'node:net';
import * as tls from 'node:tls';

import { ConnectionError } from './errors';
import { meaningOf } from './faults';
import { deviceOf, type TlsOptions } from './tls';

/**
 * Where devices connect that nobody can connect to (`[[backends]]` in their settings). Mutual TLS only: `cert` is this
 * backend's, with a role in it, and a device's must be of `ca` and name its device_id. All are PEM, not paths.
 */
export interface GatewayOptions extends Omit<TlsOptions, 'fingerprint'> {
  /** Default: every address. */
  host?: string;
  port: number;
}

const HANDSHAKE_MS = 10_000;
const MOST_HANDSHAKES = 1_024; // beyond it the oldest is ended: strangers must not take every file descriptor

/** What a Gateway asks and tells its owner. */
export interface GatewayOwner {
  /** Whether this device may come. */
  knows(deviceId: string): boolean;
  /** A device came that is connected already: its older connection may be dead. */
  held(deviceId: string): void;
  /** Somebody did not get in; one line for people. */
  refused(reason: string): void;
}

/** Takes devices' connections, each for the device that its certificate names. */
export class Gateway {
  readonly #options: GatewayOptions;
  private readonly server: tls.Server;
  private readonly held = new Map<string, Socket>(); // one a device that nobody awaits yet: the newest
  private readonly awaited = new Map<string, (socket: Socket) => void>();
  private readonly handshakes = new Map<string, Socket>(); // by address and port

  constructor(
    options: GatewayOptions,
    private readonly owner: GatewayOwner,
  ) {
    this.#options = options;
    const { host: _host, port: _port, ...files } = options;
    const login = { ...files, requestCert: true, rejectUnauthorized: true, handshakeTimeout: HANDSHAKE_MS };
    this.server = tls.createServer({ ...login, minVersion: 'TLSv1.3', noDelay: true, keepAlive: true });
    this.server.on('secureConnection', (socket) => this.take(socket));
    this.server.on('connection', (socket: Socket) => this.shake(socket));
    this.server.on('tlsClientError', (error, socket) => this.refuse(error, socket));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ port, ...(host !== undefined && { host }) }, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
  }

  /** The device's next connection; rejects when `signal` says so. */
  next(deviceId: string, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted();
    const socket = this.held.get(deviceId);
    this.held.delete(deviceId);
    if (socket && !socket.destroyed) return Promise.resolve(socket);
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.awaited.delete(deviceId);
        reject(new ConnectionError('closed'));
      };
      signal.addEventListener('abort', abort, { once: true });
      this.awaited.set(deviceId, (arrived) => {
        signal.removeEventListener('abort', abort);
        resolve(arrived);
      });
    });
  }

  /** Takes no more; what was given away stays open. */
  close(): void {
    this.server.close();
    for (const socket of [...this.held.values(), ...this.handshakes.values()]) socket.destroy();
    this.held.clear();
  }

  private shake(socket: Socket): void {
    const name = nameOf(socket);
    this.handshakes.set(name, socket);
    socket.once('close', () => this.handshakes.delete(name));
    if (this.handshakes.size > MOST_HANDSHAKES) this.handshakes.values().next().value?.destroy();
  }

  /** Who only opens a connection and ends it, as a probe of a load balancer's does, is not worth a line. */
  private refuse(error: NodeJS.ErrnoException, socket: tls.TLSSocket): void {
    const code = socket.authorizationError as unknown as string | undefined; // a code, whatever its type says
    if (!code && error.code === 'ECONNRESET') return;
    this.owner.refused(`a connection to the gateway failed: ${meaningOf(code ? { code } : error)}`);
  }

  private take(socket: tls.TLSSocket): void {
    this.handshakes.delete(nameOf(socket));
    socket.on('error', () => undefined); // told by whoever reads it
    const deviceId = deviceOf(socket.getPeerCertificate().subjectaltname);
    if (deviceId === undefined || !this.owner.knows(deviceId)) {
      this.owner.refused(
        `a connection from ${socket.remoteAddress}: ${deviceId ?? 'no device'} is not among the devices`,
      );
      socket.destroy();
      return;
    }
    const waiting = this.awaited.get(deviceId);
    this.awaited.delete(deviceId);
    if (waiting) return waiting(socket);
    this.held.get(deviceId)?.destroy();
    this.held.set(deviceId, socket);
    this.owner.held(deviceId);
  }
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
