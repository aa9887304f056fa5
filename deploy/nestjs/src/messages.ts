/** Every message of the protocol, version 1. Fields that a later device adds are there too, untyped. */

/** Where a client is in a device's alerts: the last one that it has dealt with. */
export interface Cursor {
  stream: string;
  seq: number;
}

export type Topic = 'alerts' | 'detections' | 'frames' | 'health';
export type Role = 'viewer' | 'control';
export type ThreatLevel = 'low' | 'medium' | 'high' | 'critical';
export type ComponentState = 'ok' | 'degraded' | 'failed' | 'off';

export interface Welcome {
  type: 'welcome';
  message: string;
  mode: string;
  timestamp: number;
  /** Absent from a server that knows only the plain protocol's first guide. */
  device_id?: string;
  /** Withheld until login where the listener has one. */
  camera_id?: string;
  protocol?: {
    version: number;
    /** Without `events` among them no alert of this device is ever resolved. */
    features: string[];
    auth: 'none' | 'hmac' | 'mtls';
    heartbeat_s: number;
    max_inbound: number;
    listener?: string;
    nonce?: string;
    boot_id?: string;
    stream?: string;
    oldest_seq?: number;
    next_seq?: number;
  };
}

export interface Detection {
  /** x1, y1, x2, y2: top left and bottom right, pixels of the full frame. */
  bbox: [number, number, number, number];
  confidence: number;
  class_id: number;
  class_name: string;
  is_crime_relevant: boolean;
  timestamp: number;
  /** The object's number, the same from frame to frame; absent where it is not followed. */
  track_id?: number;
  /** Seconds since the object was first seen; as track_id. */
  age_s?: number;
  /** Pixels of the full frame a second; as track_id. */
  speed?: number;
  /** Names of the zones that it is in; absent where it is in none. */
  zones?: string[];
}

export interface DetectionResult {
  type: 'detection_result';
  timestamp: number;
  detection_count: number;
  detections: Detection[];
  frame_info: { width: number; height: number; channels: number };
  camera_id?: string;
  /** `blind`: the device cannot look; no detections then do not mean that nothing is there. */
  status?: 'ok' | 'degraded' | 'blind';
  reason?: string;
  model?: string;
  dropped?: number;
  frame_id?: number;
  captured_at?: number;
  latency_ms?: { capture: number; inference: number; total: number };
  /** Plain connections to a device with `stream.alerts` = `batch` or `both`. */
  alerts?: Alert[];
}

/**
 * What is told of an event: it began (firing), it grew worse (firing again, with a higher threat_level), it is over
 * (resolved). What to deduplicate by is device_id, stream and seq, or event_uid, state and threat_level.
 */
export interface Alert {
  type: 'alert';
  /** A label for people. */
  alert_id: string;
  timestamp: number;
  camera_id: string;
  threat_level: ThreatLevel;
  confidence: number;
  threat_types: string[];
  location: { x: number; y: number };
  detection_count: number;
  message: string;
  device_id?: string;
  rule?: string;
  /** Plain connections get firing ones only. */
  state?: 'firing' | 'resolved';
  frame_id?: number;
  /** The event: all its alerts carry the same. */
  event_uid?: string;
  tracks?: number[];
  /** false: sent before it was on the device's disk; there is no seq then, and the stored copy is not given again. */
  durable?: boolean;
  stream?: string;
  seq?: number;
  /** The device stored it while this client was away. */
  replay?: boolean;
  /** Seconds since `timestamp`, at the time of sending. */
  age_s?: number;
  /** The picture of the event, where one is kept: `command('snapshot', { alert: id })` gives it. */
  snapshot?: { id: string };
}

export interface VideoFrame {
  type: 'video_frame';
  frame_id: number;
  timestamp: number;
  camera_id: string;
  size: number;
  width: number;
  height: number;
  format: 'jpeg';
  annotated: boolean;
  dropped: number;
  jpeg: Buffer;
}

export interface HelloOk {
  type: 'hello_ok';
  session: string;
  role: Role;
  proof?: string;
  camera_id?: string;
  boot_id?: string;
  stream?: string;
  oldest_seq?: number;
  next_seq?: number;
  /** Absent while the device has no store of alerts open. */
  resume?: Resume;
  subscribed: Topic[];
  heartbeat_s: number;
  max_inbound: number;
}

/** `from`: seq of the first alert to come; `missed`: alerts before it that are gone for good. */
export interface Resume {
  status: 'ok' | 'gap' | 'reset';
  from: number;
  missed: number;
}

export interface Health {
  type: 'health';
  timestamp: number;
  components: Record<string, { state: ComponentState; reason: string }>;
}

export interface Ping {
  type: 'ping';
  t: number;
}

export interface Pong {
  type: 'pong';
  t: number;
}

export interface DeviceError {
  type: 'error';
  code: string;
  message: string;
  fatal: boolean;
}

export interface Goodbye {
  type: 'goodbye';
  reason: string;
  retry_after_ms?: number;
}

export interface CommandResult {
  type: 'command_result';
  id: string;
  ok: boolean;
  result?: unknown;
  error?: { code: string; message: string };
}

export type ServerMessage =
  | Welcome
  | DetectionResult
  | Alert
  | VideoFrame
  | HelloOk
  | Health
  | Ping
  | Pong
  | DeviceError
  | Goodbye
  | CommandResult;

export interface FrameWishes {
  max_fps?: number;
  quality?: number;
  annotated?: boolean;
}

export interface Hello {
  type: 'hello';
  protocol: 1;
  client?: string;
  consumer?: string;
  subscribe?: Topic[];
  frames?: FrameWishes;
  resume?: { stream: string; after: number } | 'last_ack';
  auth?: { key_id: string; nonce: string; mac: string };
  heartbeat_s?: number;
}

export interface Ack {
  type: 'ack';
  stream: string;
  seq: number;
}

export interface Subscribe {
  type: 'subscribe';
  subscribe: Topic[];
  frames?: FrameWishes;
}

export interface Unsubscribe {
  type: 'unsubscribe';
  subscribe: Topic[];
}

export interface Command {
  type: 'command';
  id: string;
  cmd: string;
  args: object;
}

export type ClientMessage = Hello | Ack | Ping | Pong | Subscribe | Unsubscribe | Command;

const TYPES = new Set<string>([
  'welcome',
  'detection_result',
  'alert',
  'video_frame',
  'hello_ok',
  'health',
  'ping',
  'pong',
  'error',
  'goodbye',
  'command_result',
] satisfies ServerMessage['type'][]);

/** Whether a message is of a type that this version knows; others are to be ignored. */
export function isServerMessage(message: { type: string }): message is ServerMessage {
  return TYPES.has(message.type);
}

/** An alert that the device has stored: it has a place in its stream. */
export function isDurable(alert: Alert): alert is Alert & Cursor {
  return alert.durable !== false && typeof alert.stream === 'string' && Number.isSafeInteger(alert.seq);
}
