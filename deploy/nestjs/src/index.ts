export { Backoff } from './backoff';
export type * from './commands';
export { TIMING, type Timing } from './connection';
export { EdgeContext } from './context';
export { AlertCursor, type CursorStore, MemoryCursorStore, type Step } from './cursor';
export { EdgeDevice } from './device';
export { BehindError, CommandError, ConnectionError, EdgeError, ProtocolError } from './errors';
export {
  type ByteOrder,
  detect,
  encode,
  type Framing,
  MAX_JPEG,
  MAX_JSON,
  MessageReader,
  type RawMessage,
} from './framing';
export type { GatewayOptions } from './gateway';
export type { DeviceHandlers } from './handlers';
export { LoginKey, type LoginTerms } from './login';
export * from './messages';
export { EdgeStreamsModule } from './module';
export { OpenEvents } from './openevents';
export type { DeviceOptions, EdgeOptions } from './options';
export { EdgeTransport } from './server';
export type { EdgeStatus } from './status';
export { type EdgeEvent, EdgeStreams, type EdgeStreamsOptions } from './streams';
export type { TlsOptions } from './tls';
