import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { makeFolder, serverAccount } from './embedded/account.mjs';
import { freePort } from './embedded/port.mjs';
import { findProgram, keepFile } from './pooler.js';
import { isAlive } from './processes.js';
import { throughPort } from './through-port.js';
import { waitFor } from './wait-for.js';

export interface Pgpool {
  port: number;
  /** The folder of its Unix socket. */
  folder: string;
  /** The same URL, to pgpool-II instead of the server. */
  through: (url: string) => string;
  /** Its log so far. */
  log: () => string;
  /** Ends it and removes its folder. */
  stop: () => Promise<void>;
}

const PROGRAM = findProgram('pgpool');
/** Debian's package is called `pgpool2`; .ci/run installs it. */
export const hasPgpool = PROGRAM !== undefined;
if (!hasPgpool) {
  process.stderr.write('pgpool-II is not installed: what is tested through it is skipped\n');
}

/** Ends it and removes its folder when stdin ends, also when this process is killed. */
const KEEPER = `
"$1" -n -f "$2/pgpool.conf" -F "$2/pcp.conf" -a "$2/pool_hba.conf" > "$2/log" 2>&1 & echo $!
read -r forever
kill -INT "$!" 2> /dev/null; wait "$!" 2> /dev/null
rm -rf "$2"`;

/**
 * pgpool-II with few children, in front of servers of which the first is the primary. Failover and load balancing use
 * its defaults.
 */
export async function startPgpool(
  servers: string[],
  settings: Record<string, string | number> = {},
): Promise<Pgpool> {
  if (PROGRAM === undefined) throw new Error('pgpool-II is not installed');
  const account = serverAccount();
  const folder = makeFolder(account);
  const [first = ''] = servers;
  const port = await freePort();
  const { username, password } = new URL(first);
  const backends = servers.flatMap((server, index): [string, string | number][] => {
    const { hostname, port: serverPort } = new URL(server);
    return [
      [`backend_hostname${index}`, hostname],
      [`backend_port${index}`, Number(serverPort)],
    ];
  });
  const all: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    socket_dir: folder, // up to 4.3
    unix_socket_directories: folder, // since 4.4
    pcp_listen_addresses: '',
    pcp_port: await freePort(),
    pcp_socket_dir: folder,
    pid_file_name: join(folder, 'pid'),
    logdir: folder,
    backend_clustering_mode: 'streaming_replication',
    num_init_children: 4,
    // It asks the client for the password, and passes it to the servers.
    pool_passwd: '',
    allow_clear_text_frontend_auth: 'on',
    sr_check_user: decodeURIComponent(username),
    sr_check_password: decodeURIComponent(password),
    sr_check_database: 'postgres',
    ...Object.fromEntries(backends),
    ...settings,
  };
  const lines = Object.entries(all).map(
    ([name, value]) => `${name} = ${typeof value === 'number' ? value : `'${value}'`}\n`,
  );
  keepFile(account, join(folder, 'pgpool.conf'), lines.join(''));
  keepFile(account, join(folder, 'pcp.conf'), '');
  keepFile(account, join(folder, 'pool_hba.conf'), '');

  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'sh', PROGRAM, folder], {
    ...account,
    cwd: '/',
    env: { PATH: process.env.PATH },
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(keeper, 'exit');
  const [line] = (await once(keeper.stdout, 'data')) as [Buffer];
  const through = (url: string): string => throughPort(url, port);
  const logFile = join(folder, 'log');
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const stop = async (): Promise<void> => {
    keeper.stdin.end();
    await ended;
  };
  try {
    await waitFor('pgpool-II', () => hasPrimary(through(first), Number(line)));
  } catch (error) {
    const said = log();
    await stop();
    throw new Error(`pgpool-II did not start; its log:\n${said}`, { cause: error });
  }
  return { port, folder, through, log, stop };
}

/** It accepts clients before it knows which server is the primary. */
async function hasPrimary(url: string, pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const nodes = await poolNodes(url).catch(() => []);
  return nodes.some(({ role, status }) => role === 'primary' && status === 'up');
}

/** Its servers with their role, and whether it uses them. */
export async function poolNodes(url: string): Promise<Record<string, string>[]> {
  const sql = postgres(url, { max: 1, fetch_types: false, connect_timeout: 5, onnotice: () => undefined });
  try {
    return await sql.unsafe<Record<string, string>[]>('SHOW pool_nodes');
  } finally {
    await sql.end({ timeout: 1 });
  }
}
