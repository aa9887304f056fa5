import { BaseRpcContext } from '@nestjs/microservices';

import type { EdgeDevice } from './device';

/** What a handler learns besides the message: `@Ctx() context: EdgeContext`. */
export class EdgeContext extends BaseRpcContext<[device: EdgeDevice, attempt: number]> {
  /** The device, for example to send it a command. */
  getDevice(): EdgeDevice {
    return this.args[0];
  }

  getDeviceId(): string {
    return this.args[0].id;
  }

  /** 1, and more when this handler failed with this alert before. */
  getAttempt(): number {
    return this.args[1];
  }
}
