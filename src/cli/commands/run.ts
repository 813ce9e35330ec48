import { resolve } from 'node:path';
import type { EventListener, EventName } from '../../events/events.js';
import { createEventLog } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { UsageError } from '../../errors.js';
import { MetricsFile } from '../../metrics/metrics-file.js';
import { hasOwnApplicationName } from '../../run/child-environment.js';
import { refuseCheck } from '../../run/refuse-check.js';
import { EventCommand } from '../../run/event-command.js';
import { run } from '../../run/run.js';
import type { OnceOptions } from '../../run/run-context.js';
import { choice, connectionOptions, duration, option, type ConnectionOptionValues } from '../options.js';
import { GUARD } from './guard.js';
import { RELEASE_AFTER_CRASH } from './release-after-crash.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import type { OrphanMode } from '../../lock/poll-call.js';
import { checkRunKey } from '../../lock/run-key.js';
import { canReadStdinAgain } from '../../system/stdin.js';
import { checkTimes } from '../check-times.js';
import { nameGiven, type OwnOption } from '../own-option.js';
import { durationReader, numberReader, readEventNames, readFilePath, readShellCommand } from '../values.js';

/** With --max-block. */
const DEFAULT_RETRIES = 3;

export const addRun: AddCommand = (program, processContext, onExitCode) => {
  const run = program
    .command('run')
    .description(
      'acquire the lock or wait for it, run the command, release the lock, exit as the command did',
    )
    .usage('[options] -- <command> [args...]')
    .argument('[command...]', 'the command to run under the lock')
    .passThroughOptions()
    .addHelpText('after', RUN_HELP);
  for (const option of [...connectionOptions(), ...runOptions()]) run.addOption(option);
  run.action(async (command: string[], values: RunOptionValues) => {
    checkTimes(values, (key) => nameGiven(run, key));
    onExitCode(await runCommand(command, values, processContext));
  });
};

export function runOptions(): OwnOption[] {
  return [
    duration('ttl', 'the length of the lease; the command is ended before it expires', 30_000),
    duration('wait-timeout', 'how long to wait for the lock and for the database; 0: one attempt', 30_000, {
      mayBeZero: true,
    }),
    duration(
      'poll-interval',
      'the longest pause between two polls of a single waiter, times a random 0.5 to 1.5',
      1_000,
    ),
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
      '--recover <command>',
      'a shell command that is run first, when the last run of this command had an unclean end; none: known tools do not recover by themselves either',
    ).readBy(readShellCommand),
    option(
      '--check <command>',
      'a shell command that exits with 0 when nothing is pending: then the run ends without the lock and without the command',
    ).readBy(readCheck),
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
    option(
      '--max-block <duration>',
      'for how long the command may keep other database sessions waiting; then its statement is cancelled',
    ).readBy(durationReader('3s')),
    option(
      '--retries <n>',
      'how often a command that failed is started again under the same lease; default: 3 with --max-block, else 0',
    ).readBy(numberReader('a number of retries', 0, 20, 3)),
    choice('--child-stdout <stream>', "where the command's stdout goes", ['stderr', 'stdout']),
    option('--conflict-exit-code <n>', 'the exit code when the lock was not acquired in time')
      .default(75)
      .readBy(numberReader('an exit code', 0, 255, 75)),
    option('--metrics-file <path>', 'a file for Prometheus metrics of the run, written at its end').readBy(
      readFilePath,
    ),
    option(
      '--on-event <command>',
      'a shell command that is run for an event, with the event as JSON on its stdin',
    ).readBy(readShellCommand),
    option(
      '--on-events <names>',
      'the events for --on-event, with commas; default: those that need attention',
    ).readBy(readEventNames),
  ];
}

const RUN_HELP = `
Every option can also be given as an environment variable MIGRATE_LOCK_..., for example MIGRATE_LOCK_TTL=5m.

The command must end before the lease expires: with the defaults it has 23 s, then SIGTERM, and SIGKILL after 28 s
in all. Give a migration that takes longer a longer --ttl.

stdout has JSON events, one a line; the command's own stdout goes to stderr.

Examples:
  migrate-lock run -- knex migrate:latest
  migrate-lock run --ttl 10m --wait-timeout 15m -- npx prisma migrate deploy
  migrate-lock run -- npm run migrate | jq .event`;

export interface RunOptionValues extends ConnectionOptionValues {
  ttl: number;
  waitTimeout: number;
  pollInterval: number;
  killGrace: number;
  orphans: OrphanMode;
  listen: boolean;
  recover?: string;
  check?: string;
  once?: string;
  onFailure: 'retry' | 'fail';
  failureMemory: number;
  maxBlock?: number;
  retries?: number;
  childStdout: 'stderr' | 'stdout';
  conflictExitCode: number;
  metricsFile?: string;
  onEvent?: string;
  onEvents?: EventName[];
}

/** `listener`: what gets the events instead of stdout. */
export async function runCommand(
  [command, ...args]: readonly string[],
  values: RunOptionValues,
  { env, cwd, program, stdout, reporterFor }: ProcessContext,
  listener: EventListener = createEventLog(stdout),
): Promise<number> {
  if (command === undefined) {
    throw new UsageError(
      'There is no command to run.',
      'Write it after --, as in: migrate-lock run -- knex migrate:latest',
    );
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const reporter = reporterFor(values.quiet);
  if (connection.ignored.length > 0) {
    reporter.warn(`ignored parameters of the database URL: ${connection.ignored.join(', ')}`);
  }
  if (hasOwnApplicationName(env)) {
    reporter.warn('PGAPPNAME is set: database sessions of the command cannot be found if it is killed');
  }
  const retries = readRetries(values);
  const metrics = values.metricsFile === undefined ? null : new MetricsFile(resolve(cwd, values.metricsFile));
  const eventCommand = readEventCommand(values, env, cwd);
  const exitCode = await run(
    {
      command,
      args,
      env,
      cwd,
      connection,
      schema: values.schema,
      ttlMs: values.ttl,
      waitTimeoutMs: values.waitTimeout,
      pollIntervalMs: values.pollInterval,
      killGraceMs: values.killGrace,
      orphans: values.orphans,
      listen: values.listen,
      recover: values.recover ?? null,
      check: values.check ?? null,
      once: readOnce(values),
      maxBlockMs: values.maxBlock ?? null,
      retries,
      releaseProgram: [...program, RELEASE_AFTER_CRASH],
      ownGuard: [...program, GUARD],
      childStdout: values.childStdout,
      conflictExitCode: values.conflictExitCode,
    },
    [
      listener,
      reporter.onEvent,
      ...(metrics === null ? [] : [metrics.onEvent]),
      ...(eventCommand === null ? [] : [eventCommand.onEvent]),
    ],
  );
  await metrics?.write().catch((error: unknown) => {
    reporter.warn(
      `the metrics could not be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  const problem = await eventCommand?.finish();
  if (problem !== undefined) reporter.warn(`the command of --on-event failed: ${problem}`);
  return exitCode;
}

function readEventCommand(
  { onEvent, onEvents }: RunOptionValues,
  env: NodeJS.ProcessEnv,
  cwd: string,
): EventCommand | null {
  if (onEvent !== undefined)
    return new EventCommand({ command: onEvent, events: onEvents ?? null, env, cwd });
  if (onEvents === undefined) return null;
  throw new UsageError(
    '--on-events names events, and there is no command for them.',
    "Give the command too: --on-event './notify.sh'.",
  );
}

/** @throws {UsageError} when a second try would read another stdin than the first. */
function readRetries({
  maxBlock,
  retries = maxBlock === undefined ? 0 : DEFAULT_RETRIES,
}: RunOptionValues): number {
  if (retries === 0 || canReadStdinAgain()) return retries;
  throw new UsageError(
    'A command that reads from a pipe or a file cannot be started again: a second try would find nothing to read, and succeed.',
    'Give the command its input as an argument (psql -f migration.sql) and let stdin be /dev/null (< /dev/null), or use --retries 0.',
  );
}

function readOnce({ once, onFailure, failureMemory }: RunOptionValues): OnceOptions | null {
  if (once === undefined) return null;
  return { runKey: once, failureMemoryMs: onFailure === 'fail' ? failureMemory : null };
}

function readCheck(value: string, name: string): unknown {
  readShellCommand(value, name);
  refuseCheck(value);
  return value;
}
