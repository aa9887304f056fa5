import { mkdir, open, readFile, rename } from 'node:fs/promises';
import * as path from 'node:path';

import type { Cursor, CursorStore } from 'preact-edge-nestjs';

/**
 * Cursors in files, one a device; a crash leaves the old one or the new, never a half. A backend with a database keeps
 * them there, in the transaction that stores the alert, where that is possible.
 */
export class FileCursors implements CursorStore {
  constructor(private readonly folder: string) {}

  async load(deviceId: string): Promise<Cursor | undefined> {
    try {
      return JSON.parse(await readFile(this.file(deviceId), 'utf8')) as Cursor;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async save(deviceId: string, cursor: Cursor): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const file = this.file(deviceId);
    const handle = await open(`${file}.new`, 'w');
    try {
      await handle.writeFile(JSON.stringify(cursor));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${file}.new`, file);
  }

  private file(deviceId: string): string {
    return path.join(this.folder, `${encodeURIComponent(deviceId)}.json`);
  }
}
