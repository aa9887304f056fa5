/**
 * A backend: `node dist/examples/app.js DEVICE_ID HOST PORT`, with a device on it, for example
 * `preact-edge run --listen 127.0.0.1:8080`. Each alert is printed once, also when either side was away.
 */
import 'reflect-metadata';

import { Controller, type INestMicroservice, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import {
  type Alert,
  type DetectionResult,
  EdgeContext,
  type EdgeOptions,
  type EdgeStatus,
  EdgeTransport,
} from 'preact-edge-nestjs';

import { FileCursors } from './file-cursors';

@Controller()
export class DeviceController {
  private readonly logger = new Logger(DeviceController.name);
  private looking = new Map<string, string>();

  /** When this has completed, the alert is acknowledged; when it throws, the alert comes again. */
  @EventPattern<string>('alert')
  async onAlert(@Payload() alert: Alert, @Ctx() context: EdgeContext): Promise<void> {
    this.logger.log(
      `${context.getDeviceId()} ${alert.seq ?? 'early'}: ${alert.message}${alert.replay ? ' (missed)' : ''}`,
    );
  }

  @EventPattern<string>('detection_result')
  onResult(@Payload() result: DetectionResult, @Ctx() context: EdgeContext): void {
    const status = result.status ?? 'ok';
    if (this.looking.get(context.getDeviceId()) === status) return;
    this.looking.set(context.getDeviceId(), status);
    this.logger.log(`${context.getDeviceId()} looks: ${status} ${result.reason ?? ''}`);
  }

  @EventPattern('edge.status')
  onStatus(@Payload() status: EdgeStatus): void {
    if (status.event === 'gap') this.logger.error(`${status.deviceId}: ${status.missed} alerts are gone`);
  }
}

@Module({ controllers: [DeviceController] })
export class AppModule {}

export function createApp(options: EdgeOptions): Promise<INestMicroservice> {
  return NestFactory.createMicroservice(AppModule, { strategy: new EdgeTransport(options) });
}

async function main([deviceId = 'edge-01', host = 'localhost', port = '8080']: string[]): Promise<void> {
  const app = await createApp({
    devices: [{ deviceId, host, port: Number(port), consumer: 'example' }],
    cursors: new FileCursors('cursors'),
  });
  app.enableShutdownHooks();
  await app.listen();
}

if (require.main === module) void main(process.argv.slice(2));
