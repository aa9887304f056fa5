import type { Alert, ThreatLevel } from './messages';
import type { EdgeStatus } from './status';

const LEVELS: ThreatLevel[] = ['low', 'medium', 'high', 'critical']; // in rising order
const MOST_OPEN = 1_024; // events that were never resolved; beyond it the one that began first is forgotten
const MOST_OVER = 1_024; // events that are over, of which an alert may still come; beyond it the oldest is forgotten

/**
 * The events of one device that go on. Give it every alert and every status of the device. After `gap` and `reset`
 * nothing is known to go on: what ended those of before may be lost. It begins empty: a process that was restarted asks
 * its own database, or begins with alerts of before. A device without `events` among its features ends none.
 */
export class OpenEvents {
  private readonly open = new Map<string, Alert>();
  private readonly over = new Set<string>();

  /** The firing alert of the highest level of each, the oldest event first. */
  get alerts(): Alert[] {
    return [...this.open.values()];
  }

  /** An event that is over stays over, and no level is taken back, whatever comes late. */
  take(happened: Alert | EdgeStatus): void {
    if ('event' in happened) {
      if (happened.event === 'gap' || happened.event === 'reset') this.open.clear();
    } else if (happened.event_uid) {
      this.told(happened.event_uid, happened);
    }
  }

  private told(uid: string, alert: Alert): void {
    const { open, over } = this;
    if (alert.state === 'resolved') {
      open.delete(uid);
      over.add(uid);
      if (over.size > MOST_OVER) over.delete(over.keys().next().value as string);
    } else if (!over.has(uid) && levelOf(alert) > levelOf(open.get(uid))) {
      open.set(uid, alert);
      if (open.size > MOST_OPEN) open.delete(open.keys().next().value as string);
    }
  }
}

/** Of a later version's levels nothing is known; below all where there is no alert. */
function levelOf(alert: Alert | undefined): number {
  return alert ? LEVELS.indexOf(alert.threat_level) : -2;
}
