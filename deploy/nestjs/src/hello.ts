import type { Cursor, Hello, Topic } from './messages';
import type { DeviceOptions } from './options';

const CLIENT = 'preact-edge-nestjs';

/** What to say on the main connection: everything wanted but pictures, if they have their own, and where to go on. */
export function mainHello(options: DeviceOptions, topics: ReadonlySet<Topic>, position: Cursor | undefined): Hello {
  const { consumer, incoming, frames } = options;
  const resume = topics.has('alerts') ? resumeAfter(options, position) : undefined;
  return {
    type: 'hello',
    protocol: 1,
    client: CLIENT,
    subscribe: [...topics].filter((topic) => incoming || topic !== 'frames'),
    ...(incoming && frames && { frames }),
    ...(consumer !== undefined && { consumer }),
    ...(resume && { resume }),
  };
}

/** What to say on the connection for pictures. */
export function framesHello({ frames = {} }: DeviceOptions): Hello {
  return { type: 'hello', protocol: 1, client: CLIENT, subscribe: ['frames'], frames };
}

function resumeAfter({ consumer, start }: DeviceOptions, position: Cursor | undefined): Hello['resume'] {
  if (position) return { stream: position.stream, after: position.seq };
  const beginning = start ?? (consumer === undefined ? 'now' : 'last_ack');
  if (beginning === 'oldest') return { stream: '', after: 0 }; // no device's stream: it answers with all that it has
  return beginning === 'last_ack' ? 'last_ack' : undefined;
}
