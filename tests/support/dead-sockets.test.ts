import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { removeDeadSockets } from './dead-sockets.mjs';

let place: string;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'dead-sockets-'));
});
afterEach(() => rmSync(place, { recursive: true }));

/** The folder of a socket whose process was killed. */
function dead(name: string): string {
  const folder = join(place, name);
  mkdirSync(folder);
  const listen = "require('net').createServer().listen('s', () => process.kill(process.pid, 'SIGKILL'))";
  spawnSync(process.execPath, ['-e', listen], { cwd: folder, env: {} });
  expect(existsSync(join(folder, 's'))).toBe(true);
  return folder;
}

test('removes the folder of a socket that no process listens on, and no other', async () => {
  const startedAtMs = Date.now() - 1000;
  const gone = dead('migrate-lock-abc123');
  const older = dead('migrate-lock-older1');
  utimesSync(join(older, 's'), new Date(0), new Date(0));
  const others = dead('something-else');
  const alive = join(place, 'migrate-lock-alive1');
  mkdirSync(alive);
  const server = createServer().listen(join(alive, 's'));
  try {
    await removeDeadSockets(startedAtMs, [place, join(place, 'absent')]);
    expect([gone, older, others, alive].map((folder) => existsSync(folder))).toEqual([
      false,
      true,
      true,
      true,
    ]);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});
