import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

import { PREACT_EDGE } from './support';

/** A folder with a fleet's certificates, made by `preact-edge certs`; remove() it afterwards. */
export class Fleet {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'a fleet-'));

  constructor() {
    this.certs('ca', '.');
    for (const device of ['edge-01', 'edge-02']) this.certs('device', '.', device);
    for (const role of ['viewer', 'control']) this.certs('backend', '--role', role, '.', role);
    this.certs('self-signed', 'edge-01', 'pinned');
    this.certs('ca', 'elsewhere');
    this.certs('device', 'elsewhere', 'edge-01');
  }

  certs(...command: string[]): string {
    return execFileSync(PREACT_EDGE, ['certs', ...command], { cwd: this.folder, encoding: 'utf8', stdio: 'pipe' });
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  /** Certificate and key, by the name of their files. */
  pair(name: string): { cert: string; key: string } {
    return { cert: this.read(`${name}.pem`), key: this.read(`${name}.key`) };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
