import { formatDuration } from '../text/duration.js';
import type { OrphanMode } from '../lock/poll-call.js';
import { checkRunKey } from '../lock/run-key.js';
import { checkSchemaName } from '../schema/schema-name.js';
import { OwnOption } from './own-option.js';
import { choiceReader, durationReader, LONGEST_KEEP_MS, numberReader, readFilePath } from './values.js';

/** An option that is also an environment variable MIGRATE_LOCK_...; the flag wins. */
function option(flags: string, description: string): OwnOption {
  return new OwnOption(flags, description).withVariable();
}

function duration(
  name: string,
  description: string,
  byDefaultMs: number,
  { mayBeZero = false } = {},
): OwnOption {
  const example = formatDuration(byDefaultMs);
  return option(`--${name} <duration>`, description)
    .default(byDefaultMs, example)
    .readBy(durationReader(example, { mayBeZero }));
}

function choice(
  flags: string,
  description: string,
  [byDefault, ...others]: [string, ...string[]],
): OwnOption {
  const choices = [byDefault, ...others];
  return option(flags, description).choices(choices).default(byDefault).readBy(choiceReader(choices));
}

export function quietOption(): OwnOption {
  return option('--quiet', 'show only errors on stderr').default(false);
}

/** More is no limit. */
const MOST_ATTEMPTS = 100_000;

/** What the owner of the lock decides with `init`. */
export function ownerOptions(): OwnOption[] {
  return [
    new OwnOption('--grant-to <role>', 'let this role use the lock, and nothing else'),
    new OwnOption('--revoke <role>', 'take the right to use the lock from this role'),
    new OwnOption(
      '--child-role <role>',
      'a role as which the commands of the runs connect to the database; can be repeated. With --grant-to: of the runs ' +
        'of that role, with --revoke: it is one no longer, else of the runs of the owner itself',
    )
      .default([], 'none')
      .argParser((value: string, before: string[]) => [...before, value]),
    new OwnOption('--max-ttl <duration>', 'the longest lease that this lock allows').readBy(
      durationReader('1h'),
    ),
    new OwnOption(
      '--rate-limit <n>',
      'how many attempts a second each client may make (a role at an address), and five times as many all together',
    ).readBy(numberReader('a number', 1, MOST_ATTEMPTS, 200)),
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
export function connectionOptions(): OwnOption[] {
  return [
    option('--database-url <url>', 'the database to migrate; default DATABASE_URL, then the PG* variables'),
    option('--database-url-file <path>', 'read the URL from a file, as container secrets come'),
    option('--schema <name>', "the lock's own database schema; another schema is another lock")
      .default('migrate_lock')
      .readBy(checkSchemaName),
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
export function runOptions(): OwnOption[] {
  return [
    duration('ttl', 'the length of the lease; the command is ended before it expires', 30_000),
    duration('wait-timeout', 'how long to wait for the lock and for the database; 0: one attempt', 30_000, {
      mayBeZero: true,
    }),
    duration('poll-interval', 'the longest pause between two polls of a single waiter', 1_000),
    duration('kill-grace', 'the time between SIGTERM and SIGKILL for a command that must end', 5_000, {
      mayBeZero: true,
    }),
    choice(
      '--orphans <policy>',
      'database sessions that a command leaves open: end them, wait for them, or ignore them',
      ['auto', 'terminate', 'wait', 'ignore'],
    ),
    option('--no-listen', 'only poll: keep no connection to be notified of a release'),
    option(
      '--once <key>',
      "work that needs to succeed once, named by a key that is new for each release, as the release's git commit",
    ).readBy(checkRunKey),
    choice(
      '--on-failure <what>',
      'with --once, when the work failed in another run: try again, or fail with its exit code',
      ['retry', 'fail'],
    ),
    duration('failure-memory', 'with --on-failure fail: for how long a failure counts', 60_000),
    choice('--child-stdout <stream>', "where the command's stdout goes", ['stderr', 'stdout']),
    option('--conflict-exit-code <n>', 'the exit code when the lock was not acquired in time')
      .default(75)
      .readBy(numberReader('an exit code', 0, 255, 75)),
    option('--metrics-file <path>', 'a file for Prometheus metrics of the run, written at its end').readBy(
      readFilePath,
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

export function extendOptions(): OwnOption[] {
  const ttl = new OwnOption('--ttl <duration>', 'how long the lease shall last from now, at least');
  const schema = new OwnOption(
    '--schema <name>',
    'which lock, inside several runs on different ones; default: that of the innermost run',
  );
  return [
    ttl.readBy(durationReader('10m')).makeOptionMandatory(),
    schema.readBy(checkSchemaName),
    quietOption(),
  ];
}

/** For more rows, query the table. */
const LONGEST_HISTORY = 10_000;

export function historyOptions(): OwnOption[] {
  return [
    new OwnOption('--limit <n>', 'how many rows at most, the newest')
      .default(20)
      .readBy(numberReader('a number', 1, LONGEST_HISTORY, 20)),
    new OwnOption('--since <duration>', 'only what happened in this time, for example 1d').readBy(
      durationReader('1d', { mayBeZero: true, longestMs: LONGEST_KEEP_MS }),
    ),
  ];
}

export function cleanupOptions(): OwnOption[] {
  return [
    new OwnOption(
      '--keep <duration>',
      'remove run keys whose last run is longer ago, and older history, for example 90d',
    ).readBy(durationReader('90d', { mayBeZero: true, longestMs: LONGEST_KEEP_MS })),
  ];
}
