import { createEventLog } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { UsageError } from '../../errors.js';
import { checkRunKey } from '../../lock/run-key.js';
import { waitForKey } from '../../watch/wait-for-key.js';
import { choice, connectionOptions, duration, option, type ConnectionOptionValues } from '../options.js';
import type { OwnOption } from '../own-option.js';
import type { AddCommand, ProcessContext } from '../process-context.js';

export const addWait: AddCommand = (program, processContext, onExitCode) => {
  const wait = program
    .command('wait')
    .description('wait until the work of a run key is done, without the lock, then become the command')
    .usage('--once <key> [options] [-- <command> [args...]]')
    .argument('[command...]', 'what to become when the work is done; without it, exit with 0')
    .passThroughOptions()
    .addHelpText('after', WAIT_HELP);
  for (const option of [...connectionOptions(), ...waitOptions()]) wait.addOption(option);
  wait.action(async (command: string[], values: WaitOptionValues) => {
    onExitCode(await waitCommand(command, values, processContext));
  });
};

export function waitOptions(): OwnOption[] {
  return [
    option('--once <key>', 'the run key to wait for; must be given').readBy(checkRunKey),
    duration('wait-timeout', 'how long to wait; 0: one attempt', 600_000, { mayBeZero: true }),
    choice(
      '--on-failure <what>',
      'when the work failed: wait for the next run of it, or fail with its exit code',
      ['retry', 'fail'],
    ),
    duration('failure-memory', 'with --on-failure fail: for how long an earlier failure counts', 60_000),
  ];
}

const WAIT_HELP = `
Every option can also be given as an environment variable MIGRATE_LOCK_..., for example MIGRATE_LOCK_ONCE.

It takes no lock and runs no migration: migrate-lock run --once with the same key does that. A database or a lock schema that
does not exist yet is waited for.

Examples:
  migrate-lock wait --once "$IMAGE_TAG" -- node server.js
  migrate-lock wait --once "$IMAGE_TAG" --wait-timeout 30m --on-failure fail`;

interface WaitOptionValues extends ConnectionOptionValues {
  once?: string;
  waitTimeout: number;
  onFailure: 'retry' | 'fail';
  failureMemory: number;
}

async function waitCommand(
  [command, ...args]: readonly string[],
  values: WaitOptionValues,
  { env, cwd, stdout, reporterFor, flush }: ProcessContext,
): Promise<number> {
  if (values.once === undefined) {
    throw new UsageError(
      'There is no run key to wait for.',
      'Give the key of the run, as in: migrate-lock wait --once "$IMAGE_TAG" -- node server.js',
    );
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const reporter = reporterFor(values.quiet);
  if (connection.ignored.length > 0) {
    reporter.warn(`ignored parameters of the database URL: ${connection.ignored.join(', ')}`);
  }
  const options = {
    runKey: values.once,
    command: command ?? null,
    args,
    env,
    cwd,
    connection,
    schema: values.schema,
    waitTimeoutMs: values.waitTimeout,
    failureMemoryMs: values.onFailure === 'fail' ? values.failureMemory : null,
    flush,
  };
  return waitForKey(options, [createEventLog(stdout), reporter.onEvent]);
}
