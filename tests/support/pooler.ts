import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import postgres from 'postgres';
import { makeFolder, serverAccount, type Account } from './embedded/account.mjs';
import { freePort } from './embedded/port.mjs';
import { isAlive } from './processes.js';
import { waitFor } from './wait-for.js';
import { throughPort } from './through-port.js';

export interface PoolerOptions {
  /** Server sessions for each database and role. Default 5. */
  poolSize?: number;
  /** More lines of pgbouncer.ini. */
  settings?: Record<string, string | number>;
}

export interface Pooler {
  pid: number;
  port: number;
  /** The same URL, to the pooler instead of the server. */
  through: (url: string) => string;
  /** The application names of its clients of this database. */
  clients: (database: string) => Promise<string[]>;
  logFile: string;
  /** Ends it and removes its folder. */
  stop: () => Promise<void>;
}

/** A pooler that knows the start-up parameters, and drops them silently. */
export const DROPS_SETTINGS = {
  ignore_startup_parameters: 'default_transaction_isolation,default_transaction_read_only,statement_timeout',
};

const PROGRAM = findProgram('pgbouncer');
/** Debian's package is called `pgbouncer` as well; .ci/run installs it. */
export const hasPooler = PROGRAM !== undefined;
if (!hasPooler) {
  process.stderr.write('PgBouncer is not installed: what is tested through it is skipped\n');
}

/** Ends the pooler and removes its folder when stdin ends, also when this process is killed. */
const KEEPER = `
"$1" "$2/pgbouncer.ini" > /dev/null 2>&1 & echo $!
read -r forever
kill "$!" 2> /dev/null; wait "$!" 2> /dev/null
rm -rf "$2"`;
const ATTEMPTS = 10;

/** PgBouncer in transaction mode in front of the server of the URL, for all its databases and roles. */
export async function startPooler(server: string, options: PoolerOptions = {}): Promise<Pooler> {
  for (let attempt = 1; ; attempt++) {
    const pooler = await tryToStart(server, options);
    if (await answers(pooler, server)) return pooler;
    const log = existsSync(pooler.logFile) ? readFileSync(pooler.logFile, 'utf8') : '';
    await pooler.stop();
    // Another process has taken the port since it was free.
    if (attempt === ATTEMPTS || !log.includes('cannot listen')) {
      throw new Error(`the pooler did not start; its log:\n${log}`);
    }
  }
}

async function tryToStart(server: string, { poolSize = 5, settings = {} }: PoolerOptions): Promise<Pooler> {
  if (PROGRAM === undefined) throw new Error('PgBouncer is not installed');
  const account = serverAccount(); // it refuses to run as root, as PostgreSQL does
  const folder = makeFolder(account);
  const logFile = join(folder, 'log');
  const port = await freePort();
  const { hostname, port: serverPort, username, password } = new URL(server);
  const administrator = { name: decodeURIComponent(username), password: decodeURIComponent(password) };
  keepFile(
    account,
    join(folder, 'users'),
    `${quoted(administrator.name)} ${quoted(administrator.password)}\n`,
  );
  const lines = Object.entries({
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    pool_mode: 'transaction',
    default_pool_size: poolSize,
    max_client_conn: 1_000,
    auth_type: 'scram-sha-256',
    auth_file: join(folder, 'users'),
    // PgBouncer looks up every other role on the server, so that a test can create one at any time.
    auth_user: administrator.name,
    admin_users: administrator.name,
    logfile: logFile,
    ...settings,
  }).map(([name, value]) => `${name} = ${value}\n`);
  keepFile(
    account,
    join(folder, 'pgbouncer.ini'),
    `[databases]\n* = host=${hostname} port=${serverPort || '5432'}\n[pgbouncer]\n${lines.join('')}`,
  );

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
  return {
    pid: Number(line),
    port,
    logFile,
    through,
    clients: async (database) => {
      const rows = await askConsole(through(server));
      return rows.filter((row) => row.database === database).map((row) => row.application_name ?? '');
    },
    stop: async () => {
      keeper.stdin.end();
      await ended;
    },
  };
}

async function answers(pooler: Pooler, server: string): Promise<boolean> {
  return waitFor('the pooler', async () => {
    if (!isAlive(pooler.pid)) return 'gone';
    const sql = postgres(pooler.through(server), { max: 1, onnotice: () => undefined });
    try {
      await sql`SELECT 1`;
      return 'up';
    } finally {
      await sql.end({ timeout: 1 });
    }
  }).then(
    (state) => state === 'up',
    () => false,
  );
}

/** PgBouncer's console looks like a database, but accepts simple queries only. */
async function askConsole(url: string): Promise<Record<string, string | null>[]> {
  const console = new URL(url);
  console.pathname = '/pgbouncer';
  const sql = postgres(console.href, { max: 1, fetch_types: false, onnotice: () => undefined });
  try {
    return await sql.unsafe<Record<string, string | null>[]>('SHOW CLIENTS');
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** It holds a password: readable for the account only. */
export function keepFile({ uid, gid }: Account, path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

/** In PATH, or where Debian installs administration programs. */
export function findProgram(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
    .map((folder) => join(folder, name))
    .find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
