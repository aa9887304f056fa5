/** The package as its user has it: what is in it, what README.md shows, types for what docs/protocol.md shows. */
import { strict as assert } from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { after, test } from 'node:test';

import { isServerMessage } from '../src';
import { ROOT } from './support';

const PACKAGE = path.resolve(__dirname, '../..');
const manifest = JSON.parse(readFileSync(path.join(PACKAGE, 'package.json'), 'utf8'));

/** A project of its own, with the built package and NestJS installed. */
const project = mkdtempSync(path.join(tmpdir(), 'a project-'));
after(() => rmSync(project, { recursive: true }));
mkdirSync(path.join(project, 'node_modules'));
for (const name of ['@nestjs', '@types', 'reflect-metadata', 'rxjs']) {
  symlinkSync(path.join(PACKAGE, 'node_modules', name), path.join(project, 'node_modules', name));
}
symlinkSync(PACKAGE, path.join(project, 'node_modules', manifest.name));

function blocks(file: string, language: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, code = '']) => code);
}

const [config = '{}'] = blocks(path.join(PACKAGE, 'README.md'), 'json');

/** What the compiler says of these files, with the tsconfig of README.md; nothing where they are right. */
function compile(files: Record<string, string>): string {
  for (const [name, code] of Object.entries(files)) writeFileSync(path.join(project, name), code);
  const settings = { ...JSON.parse(config), files: Object.keys(files) };
  settings.compilerOptions.noEmit = true;
  writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(settings));
  const tsc = path.join(PACKAGE, 'node_modules/typescript/bin/tsc');
  return spawnSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' }).stdout;
}

test('every block of README.md compiles with its tsconfig', () => {
  const files = Object.fromEntries(
    blocks(path.join(PACKAGE, 'README.md'), 'ts').map((code, index) => [`block${index}.ts`, code]),
  );
  assert.ok(Object.keys(files).length >= 3);
  assert.equal(compile(files), '');
  assert.match(
    compile({ 'wrong.ts': "import { EdgeTransport } from 'preact-edge-nestjs';\nEdgeTransport.begin();\n" }),
    /begin/,
  );
});

interface Shown {
  type: string;
  cmd?: string;
  args?: object;
  ok?: boolean;
  result?: object;
}

/** Each example of the document as a constant of the type that the package gives it: no field more, none less. */
function typed(messages: Shown[]): string {
  const lines = messages.map((message, index) => {
    const before = messages[index - 1];
    const asked =
      message.type === 'command_result' && message.ok && before?.type === 'command' ? before.cmd : undefined;
    const { type, value } = typeOf(message, asked);
    return `export const shown${index}: ${type} = ${JSON.stringify(value)};`;
  });
  return [
    `import type { ClientMessage, Commands, ServerMessage, VideoFrame } from 'preact-edge-nestjs';`,
    ...lines,
  ].join('\n');
}

function typeOf(message: Shown, asked: string | undefined): { type: string; value: unknown } {
  if (asked !== undefined) return { type: `Commands['${asked}']['result']`, value: message.result };
  if (message.type === 'command') return { type: `Commands['${message.cmd}']['args']`, value: message.args };
  if (message.type === 'video_frame') return { type: `Omit<VideoFrame, 'jpeg'>`, value: message };
  return { type: isServerMessage(message) ? 'ServerMessage' : 'ClientMessage', value: message };
}

test('every message that docs/protocol.md shows has its type', () => {
  const shown = blocks(path.join(ROOT, 'docs/protocol.md'), 'json')
    .map((text) => JSON.parse(text) as Shown)
    .filter((message) => typeof message.type === 'string');
  const kinds = new Set(shown.map(({ type }) => type));
  for (const type of ['welcome', 'alert', 'hello_ok', 'command_result', 'hello', 'ack'])
    assert.ok(kinds.has(type), type);
  assert.equal(compile({ 'shown.ts': typed(shown) }), '');
  assert.match(compile({ 'shown.ts': typed([{ type: 'ack', later: 1 } as Shown]) }), /later|stream/);
});

test('what is packed: the built sources and README.md', () => {
  const pack = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'];
  const [{ name, files }] = JSON.parse(
    execFileSync('npm', pack, { cwd: PACKAGE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  const paths: string[] = files.map((file: { path: string }) => file.path);
  assert.equal(name, 'preact-edge-nestjs');
  const others = paths.filter((file) => !/^dist\/src\/[a-z]+(\.d\.ts|\.js)$/.test(file));
  assert.deepEqual(others.sort(), ['README.md', 'package.json']);
  for (const file of [manifest.main, manifest.types, ...Object.values(manifest.exports['.'])]) {
    assert.ok(paths.includes(path.normalize(file)), file);
  }
});

test('what package.json says', () => {
  const { peerDependencies, dependencies, engines, version, license } = manifest;
  assert.deepEqual(Object.keys(peerDependencies).sort(), ['@nestjs/common', '@nestjs/microservices', 'rxjs']);
  assert.deepEqual([dependencies, license, engines.node], [undefined, undefined, '>=20']);
  assert.ok(existsSync(path.join(PACKAGE, manifest.types)));
  const program = /^version = "(.*)"$/m.exec(readFileSync(path.join(ROOT, 'pyproject.toml'), 'utf8'));
  if (program) assert.equal(version, program[1]);
  const readme = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8');
  assert.ok(readme.includes(`${manifest.name}-${version}.tgz`));
});
