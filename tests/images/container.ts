/**
 * The executable in the root filesystems of packaging/root-filesystems.sh, as in containers: with namespaces of their own, a
 * root that cannot be written, no variables but the given ones, and the machine's network.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestDatabase } from '../support/database.js';
import { SOMEBODY } from '../support/other-users.js';
import { childrenOf } from '../support/processes.js';
import { startCli, type RunningCli } from '../support/run-cli.js';
import { waitFor } from '../support/wait-for.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HERE = join(ROOT, 'tests', 'images');
const EXECUTABLE =
  process.env.MIGRATE_LOCK_BIN ??
  join(ROOT, 'dist', 'bin', `migrate-lock-${process.platform}-${process.arch}`);
const FOLDER = process.env.ROOT_FILESYSTEMS ?? join(ROOT, 'node_modules', '.cache', 'root-filesystems');

export type Image = 'debian' | 'python' | 'distroless' | 'busybox';

/** How a container is started. */
export interface Setting {
  /** The user inside: root unless a uid is given. */
  user?: number;
  /** Started by an ordinary user of the machine, who is root inside. */
  rootless?: boolean;
  /** Other users' processes are not in /proc. */
  hidepid?: boolean;
  /** With a /dev/shm that can be written, as Docker and Kubernetes give it. */
  shm?: boolean;
  /** Not process 1, which outlives it: a pod whose containers share a process namespace. */
  beside?: boolean;
}

export const RANDOM_UID = SOMEBODY;

/** The settings of which each test runs all, by name. */
export const SETTINGS: [name: string, setting: Setting][] = [
  ['as root', {}],
  ['as a random uid', { user: RANDOM_UID }],
  ['as a random uid, with hidepid', { user: RANDOM_UID, hidepid: true }],
  ['rootless', { rootless: true }],
];

const NAMESPACES = ['unshare', '--mount', '--pid', '--fork', '--kill-child'];
const AS_ORDINARY_USER = ['setpriv', '--reuid=64322', '--regid=64322', '--clear-groups'];

/**
 * Why the tests are skipped: undefined when they can run. Lays the root filesystems out, unless they are there, which takes
 * minutes the first time.
 */
export const whySkipped: string | undefined = (() => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'they need root on Linux';
  if (!existsSync(EXECUTABLE)) return `there is no ${EXECUTABLE}: npm run build:binary`;
  if (spawnSync('unshare', [...NAMESPACES.slice(1), 'true']).status !== 0) return 'unshare is not permitted';
  const script = join(ROOT, 'packaging', 'root-filesystems.sh');
  const { status, stderr } = spawnSync(script, [EXECUTABLE, FOLDER], { encoding: 'utf8' });
  return status === 0
    ? undefined
    : `packaging/root-filesystems.sh: ${stderr.trim().split('\n').at(-1) ?? ''}`;
})();

// The report of a file of which every test is skipped has no names.
if (whySkipped !== undefined) process.stderr.write(`the images are not tested: ${whySkipped}\n`);
export const skipNote = whySkipped === undefined ? '' : ` (skipped: ${whySkipped})`;

/** Why an ordinary user cannot start a container here: undefined when one can. */
export function whyNotRootless(image: Image): string | undefined {
  const said = spawnSync(
    'sh',
    ['-c', 'exec "$@"', 'sh', ...wordsFor(image, { rootless: true }, HERE, ['migrate-lock', '--version'])],
    {
      encoding: 'utf8',
      cwd: '/',
    },
  );
  return said.status === 0 ? undefined : said.stderr.trim();
}

export interface Container extends RunningCli {
  /** The id of migrate-lock on this machine, after its first event. */
  hostPid: () => number;
  /** The id on this machine of a child of migrate-lock, from its id in the container. */
  hostPidOf: (childPid: number) => number;
}

/** Starts `migrate-lock ...words` in a container, with tests/images/apps/APP at /app. */
export function startIn(
  image: Image,
  setting: Setting,
  app: string,
  db: TestDatabase,
  words: string[],
): Container {
  const inherited = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
  const [first = '', ...rest] = wordsFor(image, setting, join(HERE, 'apps', app), ['migrate-lock', ...words]);
  const running = startCli(rest, {
    executable: first,
    cwd: '/',
    env: {
      ...inherited,
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ...connection(db),
    },
  });
  const hostPid = () => {
    const generations = setting.beside === true ? 2 : 1;
    let pid = running.pid;
    for (let n = 0; n < generations; n++) pid = childrenOf(pid)[0] ?? NaN;
    return pid;
  };
  const isIn = (pid: number, inside: number) =>
    new RegExp(`^NSpid:.*\\t${inside}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return {
    ...running,
    hostPid,
    hostPidOf: (childPid) => childrenOf(hostPid()).find((pid) => isIn(pid, childPid)) ?? NaN,
  };
}

function wordsFor(image: Image, setting: Setting, app: string, words: string[]): string[] {
  const { user, rootless = false, hidepid = false, shm = false, beside = false } = setting;
  return [
    ...(rootless ? AS_ORDINARY_USER : []),
    ...NAMESPACES,
    ...(rootless ? ['--user', '--map-root-user'] : []),
    ...['sh', join(HERE, 'enter.sh'), join(FOLDER, image), EXECUTABLE, app],
    user === undefined ? '' : `+${user}:+${user}`,
    hidepid ? 'hidepid=2' : 'nosuid',
    shm ? 'shm' : '',
    beside ? 'beside' : '',
    ...words,
  ];
}

/** For migrate-lock and for the tools, which read what libpq reads. */
function connection(db: TestDatabase): Record<string, string> {
  const { hostname, port, username, password } = new URL(db.url);
  return {
    ...{ DATABASE_URL: db.url, PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password },
    PGDATABASE: db.name,
  };
}

/** The statements that the database is running for the command of a lease. */
export async function sleeping(db: TestDatabase): Promise<string | undefined> {
  const [row] = await db.sql<{ name: string }[]>`
    SELECT application_name AS name FROM pg_stat_activity
     WHERE datname = ${db.name} AND state = 'active' AND wait_event = 'PgSleep'`;
  return row?.name;
}

export async function untilSleeping(db: TestDatabase): Promise<string> {
  return waitFor('the migration sleeps in the database', () => sleeping(db), { limitMs: 60_000 });
}
