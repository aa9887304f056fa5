import { randomUUID } from 'node:crypto';

import { CommandError } from './errors';
import type { Command, CommandResult } from './messages';

interface Call {
  command: Command;
  resolve(result: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

const MOST_CALLS = 20; // a device takes 20 at once: so many may have to be sent again on a new connection

/**
 * Commands whose answers are awaited. A command that the connection was lost under is sent again, with the same id, on
 * the next one: the device does it once and gives the same answer.
 */
export class Calls {
  private readonly open = new Map<string, Call>();

  /** `send` gives false when there is no connection, and throws when there never will be one for this command. */
  constructor(private readonly send: (command: Command) => boolean) {}

  start(cmd: string, args: object, timeoutMs: number): Promise<unknown> {
    if (this.open.size >= MOST_CALLS) {
      return Promise.reject(new CommandError('busy', `${MOST_CALLS} commands wait for their answers already`));
    }
    const command: Command = { type: 'command', id: randomUUID(), cmd, args };
    return new Promise((resolve, reject) => {
      const late = new CommandError('timeout', `${cmd}: no answer in ${timeoutMs / 1_000} s`);
      const timer = setTimeout(() => this.finish(command.id)?.reject(late), timeoutMs);
      this.open.set(command.id, { command, resolve, reject, timer });
      this.sendOne(command);
    });
  }

  /** A new connection stands. */
  sendAll(): void {
    for (const { command } of this.open.values()) this.sendOne(command);
  }

  answered(answer: CommandResult): void {
    const call = this.finish(answer.id);
    if (!call) return; // too late
    const { code, message } = answer.error ?? { code: 'failed', message: 'the device gave no reason' };
    if (answer.ok) call.resolve(answer.result);
    else call.reject(new CommandError(code, `${call.command.cmd}: ${message}`));
  }

  close(): void {
    for (const id of [...this.open.keys()]) {
      const call = this.finish(id);
      call?.reject(new CommandError('closed', `${call.command.cmd}: the device was removed`));
    }
  }

  private sendOne(command: Command): void {
    try {
      this.send(command);
    } catch (error) {
      this.finish(command.id)?.reject(error as Error);
    }
  }

  private finish(id: string): Call | undefined {
    const call = this.open.get(id);
    this.open.delete(id);
    clearTimeout(call?.timer);
    return call;
  }
}
