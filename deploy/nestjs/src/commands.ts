import type { Alert, Health, ThreatLevel } from './messages';

/** The device's commands: what each takes and gives. They need a login with the role `control`. */
export interface Commands {
  get_status: { args: NoArgs; result: DeviceReport };
  get_config: { args: NoArgs; result: { config: object; changed: Record<string, unknown>; changeable: string[] } };
  set_config: {
    args: { values: Record<string, unknown> };
    result: { changed: Record<string, unknown>; warnings: string[] };
  };
  reset_config: { args: NoArgs; result: object };
  snapshot: { args: SnapshotRequest; result: Snapshot | ClipPart };
  get_alerts: { args: { after?: number; limit?: number }; result: AlertPage };
  buzzer: { args: BuzzerRequest; result: BuzzerReport };
  explain: { args: NoArgs; result: { rules: RuleReport[] } };
  restart_camera: { args: NoArgs; result: object };
}

export type NoArgs = Record<string, never>;

/** What a command gives for these arguments. */
export type ResultOf<Name extends keyof Commands, Args> = Name extends 'snapshot'
  ? Args extends { clip: true }
    ? ClipPart
    : Snapshot
  : Commands[Name]['result'];

/** A picture of now; or that of an alert, or a part of its clip from byte `offset` on, by its `snapshot.id`. */
export type SnapshotRequest =
  | { annotated?: boolean; quality?: number; max_width?: number }
  | { alert: string }
  | { alert: string; clip: true; offset?: number };

export type BuzzerRequest =
  | { on: ThreatLevel }
  | { off: true }
  | { acknowledge: true }
  | { silence_s: number }
  | { test: true };

export interface BuzzerReport {
  sounding: boolean;
  /** Of what sounds. */
  level: ThreatLevel | null;
  silenced_s: number;
}

export interface DeviceReport {
  device_id: string;
  camera_id: string;
  version: string;
  uptime_s: number;
  status: 'ok' | 'degraded' | 'blind';
  reason: string;
  model: string;
  source: string;
  frames: number;
  frames_per_s: number;
  /** From capture to result, the median of the last seconds. */
  latency_ms: number;
  dropped: number;
  alerts: number;
  clients: number;
  health: Health['components'];
  outbox?: OutboxReport;
  buzzer: BuzzerReport | null;
}

export interface OutboxReport {
  stream: string;
  oldest_seq: number;
  next_seq: number;
  /** What each has acknowledged. */
  consumers: Record<string, number>;
  /** Alerts that wait for the disk. */
  waiting: number;
  /** Alerts that were never stored, since the start. */
  given_up: number;
  /** Alerts that went for lack of room before every consumer had them. */
  unread: number;
}

/** `jpeg` is base64. Of an alert it says which, and in `clip` whether there is a clip too. */
export interface Snapshot {
  alert?: string;
  clip?: boolean;
  frame_id: number;
  timestamp: number;
  width: number;
  height: number;
  format: 'jpeg';
  size: number;
  quality: number;
  annotated: boolean;
  jpeg: string;
}

/** `data` is base64; the next part begins `offset` and its bytes. `sha256` of all `size` bytes comes with the last. */
export interface ClipPart {
  alert: string;
  format: 'avi';
  size: number;
  offset: number;
  data: string;
  sha256?: string;
}

export interface AlertPage {
  stream: string;
  oldest_seq: number;
  next_seq: number;
  alerts: Alert[];
}

/** Why a rule does not fire now: it needs `needed` matching frames of the last `of`. */
export interface RuleReport {
  name: string;
  state: 'inactive' | 'pending' | 'firing';
  hits: number;
  needed: number;
  of: number;
  cooldown_s: number;
  /** How many go on now; absent from a device of 0.2, as is what follows `reason`. */
  events?: number;
  reason: string;
  /** What it looks for and that led to no alert, the newest first. */
  candidates?: Candidate[];
  /** How often each reason was met: once a frame, or for each object in it. */
  counts?: Partial<Record<Refusal, number>>;
}

export type Refusal =
  | 'mask'
  | 'score'
  | 'size'
  | 'class'
  | 'near'
  | 'none'
  | 'schedule'
  | 'zone'
  | 'count'
  | 'hold'
  | 'dwell'
  | 'cooldown';

/** Seen in `frames` frames over `lasted_s` seconds, last `age_s` seconds ago. */
export interface Candidate {
  reason: Refusal;
  /** For people. */
  text: string;
  /** Of a rule about each object by itself. */
  track_id: number | null;
  frames: number;
  lasted_s: number;
  age_s: number;
}
