import { EdgeError } from './errors';
import { LoginKey } from './login';
import type { Topic } from './messages';
import type { DeviceOptions, EdgeOptions } from './options';
import { checkTls } from './pem';

/** Refuses options that cannot work, when they are given and by their name. No value is shown that may be secret. */

const TOPICS: readonly Topic[] = ['alerts', 'detections', 'frames', 'health'];
const STARTS = ['now', 'oldest', 'last_ack'];
const CONSUMER = /^[A-Za-z0-9._-]{1,64}$/;
const LONGEST_MS = 2 ** 31 - 1; // of a timer of Node's

type Rule = [holds: (value: unknown) => boolean, must: string];

const isText = (value: unknown): boolean => typeof value === 'string' && value.trim() !== '';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isCall = (value: unknown): boolean => typeof value === 'function';
const isTime = (value: unknown): boolean => typeof value === 'number' && value > 0 && value <= LONGEST_MS;
const whole =
  (least: number, most: number) =>
  (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;

const FLAG: Rule = [isFlag, 'must be true or false'];
const PORT: Rule = [whole(1, 65_535), 'must be a whole number from 1 to 65535'];
const HOST: Rule = [
  (value) => isText(value) && !/[\s/[\]]|^[^:]*:\d*$/.test(value as string),
  'must be a host name or an address alone, without scheme, brackets and port',
];
const CONSUMER_NAME: Rule = [
  (value) => typeof value === 'string' && CONSUMER.test(value),
  'must be 1 to 64 letters, digits, dots, dashes or underscores',
];

const OF_DEVICE: Readonly<Record<string, Rule>> = {
  host: HOST,
  port: PORT,
  incoming: FLAG,
  plain: FLAG,
  consumer: CONSUMER_NAME,
  subscribe: [
    (value) => Array.isArray(value) && value.every((topic) => TOPICS.includes(topic as Topic)),
    `must be a list of ${TOPICS.join(', ')}`,
  ],
  start: [(value) => STARTS.includes(value as string), `must be one of ${STARTS.join(', ')}`],
  alertQueue: [whole(1, 100_000), 'must be a whole number from 1 to 100000'],
  random: [isCall, 'must be a function that gives numbers from 0 to 1'],
};

const TIME: Rule = [isTime, `must be a number of milliseconds above 0 and up to ${LONGEST_MS}`];
const OF_TIMING: Readonly<Record<string, Rule>> = { connectMs: TIME, idleMs: TIME, pauseMs: TIME };

const OF_FRAMES: Readonly<Record<string, Rule>> = {
  max_fps: [
    (value) => typeof value === 'number' && value > 0 && value <= 240,
    'must be a number above 0 and up to 240',
  ],
  quality: [whole(10, 100), 'must be a whole number from 10 to 100'],
  annotated: FLAG,
};

/** One device's options, alone and together; EdgeError names the device and the option. */
export function checkDevice(options: DeviceOptions): void {
  const { deviceId, tls, auth, plain, incoming, start, consumer } = options;
  if (!isText(deviceId)) throw new EdgeError('a device has no `deviceId`: give the [device] id of its settings');
  const of = `device "${deviceId}": `;
  checkEach(of, options, OF_DEVICE);
  checkGroup(of, 'timing', options.timing, OF_TIMING);
  checkGroup(of, 'frames', options.frames, OF_FRAMES);
  if (tls !== undefined) checkTls(`${of}\`tls`, tls);
  if (auth !== undefined) checkLogin(of, auth);
  if (plain && !incoming && auth)
    throw new EdgeError(`${of}\`plain\` sends no byte, and \`auth\` is a login: choose one`);
  if (start === 'last_ack' && consumer === undefined) {
    throw new EdgeError(`${of}\`start\` "last_ack" needs a \`consumer\`, whose acknowledgement is meant`);
  }
}

/** What devices have in common, and each device with it; EdgeError names the option. */
export function checkFleet({ devices = [], defaults, gateway, cursors, giveUp }: EdgeOptions): void {
  if (!Array.isArray(devices)) throw new EdgeError('`devices` must be a list');
  if (gateway) checkEach('gateway: ', gateway, { host: HOST, port: PORT });
  if (gateway && gateway.port === undefined) throw new EdgeError('gateway: `port` is missing');
  if (gateway) checkTls('gateway: `', gateway, ['ca', 'cert', 'key']);
  checkEach('', { giveUp }, { giveUp: [isCall, 'must be a function'] });
  if (cursors && !(isCall(cursors.load) && isCall(cursors.save))) {
    throw new EdgeError('`cursors` must have the methods load and save');
  }
  const seen = new Set<string>();
  for (const device of devices.map((own) => ({ ...defaults, ...own }))) {
    checkDevice(device);
    if (seen.has(device.deviceId))
      throw new EdgeError(`device "${device.deviceId}" is in \`devices\` twice: once is enough`);
    seen.add(device.deviceId);
    if (device.incoming && !gateway) throw new EdgeError(`device "${device.deviceId}" needs a gateway to come in by`);
  }
}

function checkEach(of: string, values: object, rules: Readonly<Record<string, Rule>>, prefix = ''): void {
  for (const [name, [holds, must]] of Object.entries(rules)) {
    const value = (values as Record<string, unknown>)[name];
    if (value !== undefined && !holds(value)) throw new EdgeError(`${of}\`${prefix}${name}\` ${must}`);
  }
}

function checkGroup(of: string, name: string, values: unknown, rules: Readonly<Record<string, Rule>>): void {
  if (values === undefined) return;
  if (typeof values !== 'object' || values === null) throw new EdgeError(`${of}\`${name}\` must be an object`);
  checkEach(of, values, rules, `${name}.`);
}

function checkLogin(of: string, auth: { keyId: string; secret: string }): void {
  checkGroup(of, 'auth', auth, { keyId: [isText, 'must be the name of a key'] });
  if (!isText(auth.keyId)) throw new EdgeError(`${of}\`auth.keyId\` is missing`);
  try {
    new LoginKey(auth.keyId, auth.secret);
  } catch (error) {
    throw new EdgeError(`${of}\`auth.secret\`: ${(error as Error).message}`);
  }
}
