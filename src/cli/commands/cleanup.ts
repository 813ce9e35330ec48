import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import { LockCalls } from '../../lock/calls.js';
import { cleanUp } from '../../admin/clean-up.js';
import { ensureSchema } from '../../schema/apply.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { OwnOption } from '../own-option.js';
import { durationReader, LONGEST_KEEP_MS } from '../values.js';

export const addCleanup: AddCommand = (program, processContext, onExitCode) => {
  const cleanup = program
    .command('cleanup')
    .description('clear an expired lease and stale waiters, as the next run would, and remove old run keys');
  for (const option of [...cleanupOptions(), ...connectionOptions()]) cleanup.addOption(option);
  cleanup.action(async (values: CleanupOptionValues) => {
    onExitCode(await cleanupCommand(values, processContext));
  });
};

function cleanupOptions(): OwnOption[] {
  return [
    new OwnOption(
      '--keep <duration>',
      'remove run keys whose last run is longer ago, and older history, for example 90d',
    ).readBy(durationReader('90d', { mayBeZero: true, longestMs: LONGEST_KEEP_MS })),
  ];
}

interface CleanupOptionValues extends ConnectionOptionValues {
  /** Milliseconds; run keys and history are removed only when it is given. */
  keep?: number;
}

/** Clears an expired lease and stale waiters, as the next run would, and removes old run keys and history. */
async function cleanupCommand(
  { keep, schema, quiet, ...values }: CleanupOptionValues,
  { env, reporterFor }: ProcessContext,
): Promise<number> {
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  try {
    await ensureSchema(database, schema);
    const calls = new LockCalls(database, schema);
    const { leases, waiters, orphans } = await cleanUp(calls);
    const done = [`cleared ${leases} expired leases and ${waiters} stale waiters`];
    if (keep !== undefined) {
      const { runs, rows } = await calls.prune(keep);
      done.push(`removed ${runs} run keys and ${rows} rows of history`);
    }
    reporterFor(quiet).warn(done.join('; '));
    if (orphans !== null) {
      const pids = orphans.sessions.map(({ pid }) => pid).join(', ');
      reporterFor(quiet).warn(`an expired lease was kept: database sessions of it have not ended: ${pids}`);
    }
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, schema);
  } finally {
    database.disconnect();
  }
}
