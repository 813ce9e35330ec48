import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, serverAccount } from './embedded/account.mjs';
import { canListen, freePort } from './embedded/port.mjs';
import { findProgram, keepFile } from './pooler.js';
import { throughPort } from './through-port.js';
import { waitFor } from './wait-for.js';

export interface Haproxy {
  port: number;
  /** The same URL, to HAProxy instead of the server. */
  through: (url: string) => string;
  /** Ends it and removes its folder. */
  stop: () => Promise<void>;
}

const PROGRAM = findProgram('haproxy');
/** Debian's package is called `haproxy` as well. */
export const hasHaproxy = PROGRAM !== undefined;

/** Ends it and removes its folder when stdin ends, also when this process is killed. */
const KEEPER = `
"$1" -db -f "$2/haproxy.cfg" > "$2/log" 2>&1 & echo $!
read -r forever
kill "$!" 2> /dev/null; wait "$!" 2> /dev/null
rm -rf "$2"`;

/**
 * HAProxy that passes on TCP connections.
 * @param backend its lines, such as `server a 127.0.0.1:5432`, after those of its checks
 */
export async function startHaproxy(backend: string[]): Promise<Haproxy> {
  if (PROGRAM === undefined) throw new Error('HAProxy is not installed');
  const account = serverAccount();
  const folder = makeFolder(account);
  const port = await freePort();
  const lines = [
    'defaults',
    '  mode tcp',
    '  timeout connect 2s',
    '  timeout client 10m',
    '  timeout server 10m',
    '  timeout check 2s',
    'listen postgresql',
    `  bind 127.0.0.1:${port}`,
    ...backend.map((line) => `  ${line}`),
  ];
  keepFile(account, join(folder, 'haproxy.cfg'), `${lines.join('\n')}\n`);
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'sh', PROGRAM, folder], {
    ...account,
    cwd: '/',
    env: { PATH: process.env.PATH },
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(keeper, 'exit');
  const log = join(folder, 'log');
  const stop = async (): Promise<void> => {
    keeper.stdin.end();
    await ended;
  };
  try {
    await waitFor('HAProxy', async () => !(await canListen(port)));
  } catch (cause) {
    const said = existsSync(log) ? readFileSync(log, 'utf8') : '';
    await stop();
    throw new Error(`HAProxy did not start; its log:\n${said}`, { cause });
  }
  return { port, through: (url) => throughPort(url, port), stop };
}
