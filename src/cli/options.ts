import { Option } from 'commander';
import { formatDuration, parseDuration } from '../duration.js';
import { UsageError } from '../errors.js';
import type { OrphanMode } from '../lock/poll-call.js';
import { checkRunKey } from '../lock/run-key.js';
import { checkSchemaName } from '../schema/render.js';

/** An option that is also an environment variable MIGRATE_LOCK_...; the flag wins. */
function option(flags: string, description: string): Option {
  const made = new Option(flags, description);
  return made.env(`MIGRATE_LOCK_${made.name().toUpperCase().replaceAll('-', '_')}`);
}

function duration(
  name: string,
  description: string,
  byDefaultMs: number,
  { mayBeZero = false } = {},
): Option {
  const example = formatDuration(byDefaultMs);
  return option(`--${name} <duration>`, description)
    .default(byDefaultMs, example)
    .argParser((value: string) => readDuration(name, value, example, mayBeZero));
}

function readDuration(name: string, value: string, example: string, mayBeZero: boolean): number {
  const parsed = parseDuration(value);
  if (parsed !== undefined && (parsed > 0 || mayBeZero)) return parsed;
  const problem = parsed === 0 ? 'must be longer than 0' : 'is not a duration';
  throw new UsageError(
    `--${name} ${JSON.stringify(value)} ${problem}.`,
    `Write for example --${name} ${example} (also 500ms, 5m, 1h).`,
  );
}

export function parseTtl(value: string): number {
  return readDuration('ttl', value, '10m', false);
}

/** For how long history is kept: no timer waits for that. */
const LONGEST_KEEP_MS = 100 * 365 * 86_400_000;

export function parseKeep(value: string): number {
  const parsed = parseDuration(value, LONGEST_KEEP_MS);
  if (parsed !== undefined) return parsed;
  throw new UsageError(`--keep ${JSON.stringify(value)} is not a duration.`, 'Write for example --keep 90d.');
}

/** More is no limit. */
const MOST_ATTEMPTS = 100_000;

/** More is no history that people read, and is better asked of the table. */
const LONGEST_HISTORY = 10_000;

export function parseLimit(value: string): number {
  const limit = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (limit >= 1 && limit <= LONGEST_HISTORY) return limit;
  throw new UsageError(
    `--limit ${JSON.stringify(value)} is not a number from 1 to ${LONGEST_HISTORY}.`,
    'Write for example --limit 20.',
  );
}

export function parseSince(value: string): number {
  const parsed = parseDuration(value, LONGEST_KEEP_MS);
  if (parsed !== undefined) return parsed;
  throw new UsageError(
    `--since ${JSON.stringify(value)} is not a duration.`,
    'Write for example --since 1d.',
  );
}

export function quietOption(): Option {
  return option('--quiet', 'tell only errors on stderr').default(false);
}

/** What the variable of a switch says: it can also say no, which the command line's parser does not know. */
export function saysYes(variable: string | undefined): boolean {
  return !['', '0', 'false', 'no', 'off'].includes(variable?.toLowerCase() ?? '');
}

/** What the owner of the lock decides with `init`. */
export function ownerOptions(): Option[] {
  return [
    new Option('--grant-to <role>', 'let this role use the lock, and nothing else'),
    new Option('--revoke <role>', 'take the right to use the lock from this role'),
    new Option(
      '--child-role <role>',
      'a role as which the commands of the runs connect to the database; can be repeated. With --grant-to: of the runs ' +
        'of that role, with --revoke: it is one no longer, else of the runs of the owner itself',
    )
      .default([], 'none')
      .argParser((value: string, before: string[]) => [...before, value]),
    new Option('--max-ttl <duration>', 'the longest lease that this lock allows').argParser((value: string) =>
      readDuration('max-ttl', value, '1h', false),
    ),
    new Option(
      '--rate-limit <n>',
      'how many attempts a second each client may make (a role at an address), and five times as many all together',
    ).argParser((value: string): number => {
      if (/^\d{1,6}$/.test(value) && Number(value) >= 1 && Number(value) <= MOST_ATTEMPTS)
        return Number(value);
      throw new UsageError(
        `--rate-limit ${JSON.stringify(value)} is not a number from 1 to ${MOST_ATTEMPTS}.`,
        'Write for example --rate-limit 200.',
      );
    }),
  ];
}

export interface OwnerOptionValues {
  grantTo?: string;
  revoke?: string;
  childRole: string[];
  /** Milliseconds. */
  maxTtl?: number;
  /** Attempts a second. */
  rateLimit?: number;
}

/** Where the database and the lock are: the same for every command. */
export function connectionOptions(): Option[] {
  return [
    option('--database-url <url>', 'the database to migrate; default DATABASE_URL, then the PG* variables'),
    option('--database-url-file <path>', 'read the URL from a file, as container secrets come'),
    option('--schema <name>', "the lock's own database schema; another schema is another lock")
      .default('migrate_lock')
      .argParser(checkSchemaName),
    quietOption(),
  ];
}

export interface ConnectionOptionValues {
  databaseUrl?: string;
  databaseUrlFile?: string;
  schema: string;
  quiet: boolean;
}

/** What `run` knows besides. */
export function runOptions(): Option[] {
  return [
    duration('ttl', 'the length of the lease; the command is ended before it is over', 30_000),
    duration('wait-timeout', 'how long to wait for the lock and for the database; 0: one attempt', 30_000, {
      mayBeZero: true,
    }),
    duration('poll-interval', 'the longest pause between two polls of a lone waiter', 1_000),
    duration('kill-grace', 'the time between SIGTERM and SIGKILL for a command that must end', 5_000, {
      mayBeZero: true,
    }),
    option(
      '--orphans <policy>',
      'database sessions that a command leaves at work: end them, wait for them, or ignore them',
    )
      .choices(['auto', 'terminate', 'wait', 'ignore'])
      .default('auto'),
    option('--no-listen', 'only poll: keep no connection to hear of a release at once'),
    option(
      '--once <key>',
      'work that needs to succeed once: whoever finds it done exits 0 without running it',
    ).argParser(checkRunKey),
    option(
      '--on-failure <what>',
      'with --once, when another one ran the work and it failed: try again, or fail as it did',
    )
      .choices(['retry', 'fail'])
      .default('retry'),
    duration('failure-memory', 'with --on-failure fail: for how long a failure counts', 60_000),
    option('--child-stdout <stream>', "where the command's stdout goes")
      .choices(['stderr', 'stdout'])
      .default('stderr'),
    option('--conflict-exit-code <n>', 'the exit code when the lock was not acquired in time')
      .default(75)
      .argParser((value: string): number => {
        if (/^\d{1,3}$/.test(value) && Number(value) <= 255) return Number(value);
        throw new UsageError(
          `--conflict-exit-code ${JSON.stringify(value)} is not an exit code.`,
          'Write a number from 0 to 255, for example --conflict-exit-code 75.',
        );
      }),
    option('--metrics-file <path>', 'a file for Prometheus metrics of the run, written at its end').argParser(
      (value: string): string => {
        // As a path, a URL would look different in the messages of the system, and its password would not be found in them.
        const problem = value.trim() === '' ? 'is empty' : 'is a URL';
        if (problem !== 'is empty' && !value.includes('://')) return value;
        throw new UsageError(
          `--metrics-file ${problem}.`,
          'Write for example --metrics-file /var/lib/node_exporter/migrate-lock.prom.',
        );
      },
    ),
  ];
}

export interface RunOptionValues extends ConnectionOptionValues {
  ttl: number;
  waitTimeout: number;
  pollInterval: number;
  killGrace: number;
  orphans: OrphanMode;
  listen: boolean;
  once?: string;
  onFailure: 'retry' | 'fail';
  failureMemory: number;
  childStdout: 'stderr' | 'stdout';
  conflictExitCode: number;
  metricsFile?: string;
}
