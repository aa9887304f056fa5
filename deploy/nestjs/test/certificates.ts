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

  /** A device's or backend's certificate that the authority signed, good from and to so many days from now. */
  sign(name: string, uri: string, fromDays: number, toDays: number): void {
    const python = path.join(path.dirname(PREACT_EDGE), 'python');
    execFileSync(python, ['-c', SIGN, name, uri, String(fromDays), String(toDays)], { cwd: this.folder });
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

/** `preact-edge certs` makes none that is out of date. */
const SIGN = `
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as files
from cryptography.hazmat.primitives.asymmetric import ec
name, uri, start, end = sys.argv[1:]
authority = x509.load_pem_x509_certificate(Path("ca.pem").read_bytes())
signer = files.load_pem_private_key(Path("ca.key").read_bytes(), None)
key = ec.generate_private_key(ec.SECP256R1())
now = datetime.now(timezone.utc)
certificate = (
    x509.CertificateBuilder()
    .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
    .issuer_name(authority.subject)
    .public_key(key.public_key())
    .serial_number(x509.random_serial_number())
    .not_valid_before(now + timedelta(days=float(start)))
    .not_valid_after(now + timedelta(days=float(end)))
    .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False)
    .sign(signer, hashes.SHA256())
)
Path(name + ".pem").write_bytes(certificate.public_bytes(files.Encoding.PEM))
form = files.PrivateFormat.PKCS8
Path(name + ".key").write_bytes(key.private_bytes(files.Encoding.PEM, form, files.NoEncryption()))
`;
