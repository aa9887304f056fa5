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
  snapshot: { args: { annotated?: boolean; quality?: number; max_width?: number }; result: Snapshot };
  get_alerts: { args: { after?: number; limit?: number }; result: AlertPage };
  buzzer: { args: BuzzerRequest; result: BuzzerReport };
  explain: { args: NoArgs; result: { rules: RuleReport[] } };
  restart_camera: { args: NoArgs; result: object };
}

export type NoArgs = Record<string, never>;

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

/** `jpeg` is base64. */
export interface Snapshot {
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
  reason: string;
}
