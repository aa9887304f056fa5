import 'reflect-metadata';

import { strict as assert } from 'node:assert';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Controller, type INestApplicationContext, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { from, type Observable, of } from 'rxjs';
import { delay, mergeMap } from 'rxjs/operators';

import {
  type Alert,
  type DetectionResult,
  EdgeContext,
  type EdgeStatus,
  EdgeStreams,
  EdgeStreamsModule,
  EdgeTransport,
  type Health,
  MemoryCursorStore,
  type VideoFrame,
} from '../src';
import { makeResult, ScriptedDevice } from './scripted';
import { waitUntil } from './support';

const QUIET = { logger: false } as const;
const open: Array<{ close(): unknown }> = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function scripted(): Promise<ScriptedDevice> {
  const device = await new ScriptedDevice().listen();
  open.push(device);
  return device;
}

function optionsFor(server: ScriptedDevice): { deviceId: string; host: string; port: number; random: () => number } {
  return { deviceId: 'edge-01', host: '127.0.0.1', port: server.port, random: () => 0 };
}

/** What the controller does with an alert; each test gives its own. */
class Behaviour {
  onAlert: (alert: Alert, context: EdgeContext) => unknown = () => undefined;
  results = 0;
  health: Health[] = [];
  frames: VideoFrame[] = [];
  statuses: EdgeStatus[] = [];
}

@Controller()
class FullController {
  constructor(@Inject(Behaviour) private readonly behaviour: Behaviour) {}

  @EventPattern<string>('alert')
  alert(@Payload() alert: Alert, @Ctx() context: EdgeContext): unknown {
    return this.behaviour.onAlert(alert, context);
  }

  @EventPattern('detection_result')
  result(@Payload() _result: DetectionResult): void {
    this.behaviour.results++;
    throw new Error('which nobody minds');
  }

  @EventPattern('health')
  health(@Payload() health: Health): void {
    this.behaviour.health.push(health);
  }

  @EventPattern('video_frame')
  frame(@Payload() frame: VideoFrame): void {
    this.behaviour.frames.push(frame);
  }

  @EventPattern('edge.status')
  status(@Payload() status: EdgeStatus): void {
    this.behaviour.statuses.push(status);
    throw new Error('which nobody minds');
  }
}

@Controller()
class AlertController {
  constructor(@Inject(Behaviour) private readonly behaviour: Behaviour) {}

  @EventPattern<string>('alert')
  alert(@Payload() alert: Alert, @Ctx() context: EdgeContext): unknown {
    return this.behaviour.onAlert(alert, context);
  }
}

async function serve(
  server: ScriptedDevice,
  behaviour: Behaviour,
  controllers: unknown[],
): Promise<{ store: MemoryCursorStore; transport: EdgeTransport }> {
  const store = new MemoryCursorStore();
  const transport = new EdgeTransport({ devices: [optionsFor(server)], cursors: store });
  class Root {}
  Module({ controllers: controllers as never[], providers: [{ provide: Behaviour, useValue: behaviour }] })(Root);
  const app = await NestFactory.createMicroservice(Root, { strategy: transport, ...QUIET });
  open.push(app);
  await app.listen();
  await waitUntil(() => transport.device('edge-01')?.connected, 'connected');
  return { store, transport };
}

test('a controller gets each kind of message, and its failures with others than alerts do no harm', async () => {
  const server = await scripted();
  const behaviour = new Behaviour();
  const seen: unknown[] = [];
  behaviour.onAlert = (alert, context) =>
    void seen.push([context.getDeviceId(), context.getAttempt(), alert.seq, context.getDevice().connected]);
  await serve(server, behaviour, [FullController]);
  await waitUntil(() => server.sessions.size === 2, 'the connection for pictures');
  await waitUntil(() => behaviour.statuses.length === 2, 'its session');
  server.raise();
  server.broadcast(makeResult(1));
  server.broadcast({ type: 'health', timestamp: 1, components: { camera: { state: 'ok', reason: '' } } });
  server.broadcast({ type: 'video_frame', frame_id: 1, size: 3 }, Buffer.from('abc'));
  await waitUntil(
    () => seen.length && behaviour.results && behaviour.health.length && behaviour.frames.length,
    'one of each',
  );
  assert.deepEqual(seen, [['edge-01', 1, 1, true]]);
  assert.equal(behaviour.frames[0]?.jpeg.toString(), 'abc');
  await waitUntil(() => behaviour.statuses.length === 3, 'the warning');
  assert.deepEqual(
    behaviour.statuses.map(({ event }) => event),
    ['connected', 'connected', 'warning'],
  );
});

test('what no controller handles is not asked for', async () => {
  const server = await scripted();
  await serve(server, new Behaviour(), [AlertController]);
  assert.deepEqual(
    server.heard.map((message) => message.subscribe),
    [['alerts']],
  );
});

for (const [kind, complete] of [
  ['promise', async (done: () => void) => sleep(30).then(done)],
  [
    'observable',
    (done: () => void): Observable<unknown> =>
      of(1, 2).pipe(
        delay(30),
        mergeMap((value) => from(Promise.resolve(value === 2 && done()))),
      ),
  ],
  [
    'promise of an observable',
    async (done: () => void) =>
      of(1).pipe(
        delay(30),
        mergeMap(async () => done()),
      ),
  ],
] as const) {
  test(`the cursor moves when the handler's ${kind} has completed`, async () => {
    const server = await scripted();
    const behaviour = new Behaviour();
    let done = 0;
    const before: unknown[] = [];
    const { store } = await serve(server, behaviour, [AlertController]);
    behaviour.onAlert = () => {
      before.push([store.load('edge-01')?.seq, done]);
      return complete(() => void done++);
    };
    server.raise();
    server.raise();
    await waitUntil(() => store.load('edge-01')?.seq === 2, 'both');
    assert.deepEqual(before, [
      [0, 0],
      [1, 1],
    ]);
    assert.equal(done, 2);
  });
}

for (const [kind, fail] of [
  ['throws', () => assert.fail('no database')],
  ['rejects', () => Promise.reject(new Error('no database'))],
  ['gives an observable that fails', () => of(1).pipe(mergeMap(() => Promise.reject(new Error('no database'))))],
] as const) {
  test(`a handler that ${kind} is given the alert again`, async () => {
    const server = await scripted();
    const behaviour = new Behaviour();
    const attempts: number[] = [];
    behaviour.onAlert = (_alert, context) => (attempts.push(context.getAttempt()) < 3 ? fail() : undefined);
    const { store } = await serve(server, behaviour, [AlertController]);
    server.raise();
    await waitUntil(() => store.load('edge-01')?.seq === 1, 'handled');
    assert.deepEqual(attempts, [1, 2, 3]);
  });
}

test('with two handlers of one pattern both must complete', async () => {
  const server = await scripted();
  const behaviour = new Behaviour();
  let calls = 0;
  behaviour.onAlert = async () => {
    await sleep(5);
    if (++calls === 1) throw new Error('the one that comes first');
  };
  const { store } = await serve(server, behaviour, [AlertController, FullController]);
  server.raise();
  await waitUntil(() => store.load('edge-01')?.seq === 1, 'handled');
  assert.ok(calls >= 3);
});

test('devices come and go while it runs', async () => {
  const [first, second] = [await scripted(), await scripted()];
  Object.assign(second, { id: 'edge-02' });
  const behaviour = new Behaviour();
  const seen: string[] = [];
  behaviour.onAlert = (_alert, context) => void seen.push(context.getDeviceId());
  const { transport } = await serve(first, behaviour, [AlertController]);
  const added = transport.add({ ...optionsFor(second), deviceId: 'edge-02' });
  assert.throws(() => transport.add(optionsFor(second)), /is there already/);
  await waitUntil(() => added.connected, 'the second');
  second.raise();
  await waitUntil(() => seen.length === 1, 'its alert');
  await transport.remove('edge-02');
  await waitUntil(() => second.sessions.size === 0, 'hung up');
  assert.deepEqual(
    transport.devices.map((device) => device.id),
    ['edge-01'],
  );
  first.raise();
  await waitUntil(() => seen.length === 2, "the first one's alert");
  assert.deepEqual(seen, ['edge-02', 'edge-01']);
});

async function context(
  module: Parameters<typeof NestFactory.createApplicationContext>[0],
): Promise<INestApplicationContext> {
  const app = await NestFactory.createApplicationContext(module, QUIET);
  open.push(app);
  return app;
}

test('the provider gives streams, and waits with alerts until somebody listens', async () => {
  const server = await scripted();
  const store = new MemoryCursorStore();
  store.save('edge-01', { stream: 'stream-1', seq: 0 });
  server.store();
  const app = await context(EdgeStreamsModule.forRoot({ devices: [optionsFor(server)], cursors: store }));
  const streams = app.get(EdgeStreams);
  const warned: EdgeStatus[] = [];
  streams.status$.subscribe((status) => status.event === 'warning' && warned.push(status));
  await waitUntil(() => warned.length > 0, 'the alert waits');
  assert.equal(store.load('edge-01')?.seq, 0);
  const seen: unknown[] = [];
  streams.alerts$.subscribe(({ deviceId, message }) => seen.push([deviceId, message.seq]));
  streams.detections$.subscribe(({ message }) => seen.push(message.frame_id));
  await waitUntil(() => store.load('edge-01')?.seq === 1, 'the alert was given');
  server.broadcast(makeResult(9));
  await waitUntil(() => seen.length === 2, 'both');
  assert.deepEqual(seen, [['edge-01', 1], 9]);
  let ended = false;
  streams.alerts$.subscribe({ complete: () => void (ended = true) });
  await app.close();
  assert.ok(ended);
  await waitUntil(() => server.sessions.size === 0, 'hung up');
});

test('the provider with onAlert, from a factory: what fails there comes again', async () => {
  const server = await scripted();
  const store = new MemoryCursorStore();
  const attempts: unknown[] = [];
  const app = await context(
    EdgeStreamsModule.forRootAsync({
      useFactory: async () => ({
        devices: [optionsFor(server)],
        cursors: store,
        onAlert: (alert: Alert, { device, attempt }: { device: { id: string }; attempt: number }) => {
          attempts.push([device.id, alert.seq, attempt]);
          if (attempt === 1) throw new Error('no database');
        },
      }),
    }),
  );
  const streams = app.get(EdgeStreams);
  const seen: unknown[] = [];
  streams.alerts$.subscribe(({ message }) => seen.push(message.seq));
  await waitUntil(() => streams.device('edge-01')?.connected, 'connected');
  server.raise();
  await waitUntil(() => store.load('edge-01')?.seq === 1, 'handled');
  assert.deepEqual(attempts, [
    ['edge-01', 1, 1],
    ['edge-01', 1, 2],
  ]);
  assert.deepEqual(seen, [1]);
});
