/**
 * A backend that ends as Nest ends it, and must leave nothing behind: `node dist/test/leaver.js PORT`, with a device on
 * PORT. Prints what becomes of its connections; when stdin is closed it closes the application and does no more.
 */
import 'reflect-metadata';

import { Controller, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, Payload } from '@nestjs/microservices';

import { type Alert, EdgeStreams, EdgeStreamsModule, EdgeTransport, MemoryCursorStore } from '../src';

const devices = [
  { deviceId: 'edge-01', host: '127.0.0.1', port: Number(process.argv[2]) },
  { deviceId: 'edge-02', host: '127.0.0.1', port: 1 },
];

@Controller()
class LeaverController {
  constructor(@Inject(EdgeStreams) private readonly streams: EdgeStreams) {
    this.streams.status$.subscribe(({ event }) => console.log(event));
  }

  @EventPattern('alert')
  async alert(@Payload() _alert: Alert): Promise<void> {
    this.streams
      .device('edge-02')
      ?.command('explain', {})
      .catch(() => console.log('refused'));
    console.log('alert');
    throw new Error('the database is away');
  }
}

@Module({
  imports: [
    EdgeStreamsModule.forRoot({
      devices,
      cursors: new MemoryCursorStore(),
      onAlert: () => Promise.reject(new Error('the database is away')),
    }),
  ],
  controllers: [LeaverController],
})
class LeaverModule {}

async function main(): Promise<void> {
  const strategy = new EdgeTransport({ devices, cursors: new MemoryCursorStore() });
  const app = await NestFactory.createMicroservice(LeaverModule, { strategy, logger: false });
  await app.listen();
  process.stdin.resume().on('end', () => void app.close());
}

void main();
