import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { completeNative, installedNative } from './embedded/binaries.mjs';
import { startServer } from './embedded-server.mjs';

let folder: string;
let native: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-binaries-'));
  native = join(folder, 'native');
  copyWithoutInstallScript(installedNative(), native);
});
afterEach(() => {
  chmodSync(join(native, 'lib'), 0o755);
  rmSync(folder, { recursive: true });
});

interface Link {
  source: string;
  target: string;
}

/** npm without install scripts creates no links, and some archives lose the right to execute. */
function copyWithoutInstallScript(from: string, to: string): void {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE });
  for (const { target } of links(to)) rmSync(join(to, '..', target), { force: true });
  for (const program of readdirSync(join(to, 'bin'))) chmodSync(join(to, 'bin', program), 0o644);
}

function links(folder: string): Link[] {
  return JSON.parse(readFileSync(join(folder, 'pg-symlinks.json'), 'utf8')) as Link[];
}

function expectComplete(): void {
  for (const { source, target } of links(native)) {
    expect(join(native, 'lib', readlinkSync(join(native, '..', target)))).toBe(join(native, '..', source));
  }
  expect(statSync(join(native, 'bin', 'postgres')).mode & 0o111).toBe(0o111);
  expect(readdirSync(join(native, 'lib'))).toEqual(readdirSync(join(installedNative(), 'lib')));
}

describe('the links of the install script', () => {
  test('are created, and created again without error', () => {
    completeNative(native);
    expectComplete();
    completeNative(native);
    expectComplete();
  });

  test('are created when several processes do so at once', async () => {
    const module = new URL('./embedded/binaries.mjs', import.meta.url).href;
    // They all start work at the same moment.
    const script = `
      import { completeNative } from ${JSON.stringify(module)};
      while (Date.now() < Number(process.argv[2]));
      completeNative(process.argv[1]);`;
    const moment = String(Date.now() + 1_500);
    const started = Array.from({ length: 8 }, () =>
      spawn(process.execPath, ['--input-type=module', '--eval', script, native, moment], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const ends = await Promise.all(started.map((child) => once(child, 'exit')));
    expect(ends).toEqual(started.map(() => [0, null]));
    expectComplete();
  });
});

test('binaries that cannot be used in place are used from a copy', async () => {
  // As root, the server runs under an account that cannot enter this folder (mkdtemp makes it 0700) or write there.
  if (process.getuid?.() !== 0) chmodSync(join(native, 'lib'), 0o555);
  const server = await startServer({ installed: native });
  try {
    expect(readlinkSync(`/proc/${server.pid ?? 0}/exe`)).toBe(
      join(server.folder, 'native', 'bin', 'postgres'),
    );
  } finally {
    await server.stop();
  }
  expect(existsSync(server.folder)).toBe(false);
});
