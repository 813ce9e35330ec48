import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import { formatDuration } from '../../text/duration.js';
import { MigrateLockError, UsageError } from '../../errors.js';
import type { UnlockAnswer } from '../../lock/answers.js';
import { breakLease } from '../../admin/break-lease.js';
import { LockCalls } from '../../lock/calls.js';
import { nameSessions } from '../../lock/name-sessions.js';
import { ensureSchema } from '../../schema/apply.js';
import { canAsk, confirm } from '../../ui/question.js';
import { describeStatus, type StatusReport } from '../../ui/status-text.js';
import { unlockLine } from '../../text/unlock-line.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import { readStatusReport } from '../status-report.js';
import type { AddCommand, ProcessContext } from '../process-context.js';

export const addUnlock: AddCommand = (program, processContext, onExitCode) => {
  const unlock = program
    .command('unlock')
    .description("show the holder, and end another run's lease")
    .option('--instance <id>', 'only if this is the holder')
    .option('--force', 'also while the lease runs; asks on a terminal', false)
    .option('--yes', 'do not ask', false)
    .option('--leave-sessions', 'also when database sessions of the lease do not end', false);
  for (const option of connectionOptions()) unlock.addOption(option);
  unlock.action(async (values: UnlockOptionValues) => {
    onExitCode(await unlockCommand(values, processContext));
  });
};

interface UnlockOptionValues extends ConnectionOptionValues {
  instance?: string;
  force: boolean;
  yes: boolean;
  leaveSessions: boolean;
}

/** The status must be on the terminal before the question; a stalled reader delays the question this long at most. */
const SHOW_LIMIT_MS = 1_000;

/**
 * Shows the holder, and ends its lease. Without --force only an expired lease, as the next acquisition would.
 */
async function unlockCommand(
  { instance, force, yes, leaveSessions, schema, quiet, ...values }: UnlockOptionValues,
  { env, stdout, reporterFor }: ProcessContext,
): Promise<number> {
  if (leaveSessions && !force) {
    throw new UsageError('--leave-sessions needs --force.', 'See migrate-lock unlock --help.');
  }
  if (force && instance === undefined && !canAsk()) {
    throw new UsageError(
      'Without a terminal, --force needs --instance ID: the holder that was seen.',
      '`migrate-lock unlock` shows it.',
    );
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  try {
    const report = await readStatusReport(database, connection.database, schema);
    for (const line of describeStatus(report)) stdout.writeLine(line);
    const { lease, state } = report;
    if (state === 'free' || lease === null) return 0;
    const seen = instance ?? lease.instanceId;
    if (force && seen === lease.instanceId && !yes && canAsk()) {
      await stdout.flush(SHOW_LIMIT_MS);
      if (!(await confirm(questionAbout(lease)))) {
        throw notUnlocked('Nothing was changed.', 'Answer yes to unlock it.');
      }
    }
    await ensureSchema(database, schema);
    const calls = new LockCalls(database, schema);
    const answer = await breakLease(calls, seen, { force, leaveSessions });
    reporterFor(quiet).warn(describeUnlocked(answer, seen));
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, schema);
  } finally {
    database.disconnect();
  }
}

function questionAbout({ instanceId, host, pid }: NonNullable<StatusReport['lease']>): string {
  const place = host === null ? '' : ` (on ${host}${pid === null ? '' : `, pid ${pid}`})`;
  return `Its database sessions are ended, but not its command${place}: end that first. Unlock ${instanceId}?`;
}

/** @throws {MigrateLockError} when the lease was not ended. */
function describeUnlocked(answer: UnlockAnswer, seen: string): string {
  switch (answer.outcome) {
    case 'free':
      return 'the lock has become free in the meantime; nothing was changed';
    case 'released': {
      const { heldMs, sessionsEnded, sessionsLeft } = answer;
      const left = sessionsLeft.length === 0 ? '' : `; these have not ended: ${sessionsLeft.join(', ')}`;
      return `unlocked: ended the lease of ${seen} after ${formatDuration(heldMs)}, and ${sessionsEnded} database sessions of it${left}`;
    }
    case 'refused':
      throw answer.reason === 'live'
        ? notUnlocked(
            `The lease of ${seen} still runs, for ${formatDuration(answer.holder.expiresInMs)}.`,
            `When it has expired, the next run takes over by itself. To end it now: \`${unlockLine(seen)}\`.`,
          )
        : notUnlocked(
            `The lock is held by ${answer.holder.instanceId}, not by ${seen}.`,
            'Check the holder again: `migrate-lock status`.',
          );
    case 'orphans': {
      const pids = answer.sessions.map(({ pid }) => pid);
      throw notUnlocked(
        `The lease was kept: database sessions of it have not ended: ${nameSessions(answer.sessions)}.`,
        (answer.denied > 0
          ? "The lock schema's owner may not end them (GRANT pg_signal_backend TO it). "
          : '') +
          `End them as their own role or as a superuser, with ${pids.map((pid) => `SELECT pg_terminate_backend(${pid})`).join('; ')}. ` +
          `--leave-sessions unlocks nevertheless: they may then run at the same time as the next run.`,
      );
    }
  }
}

function notUnlocked(message: string, hint: string): MigrateLockError {
  return new MigrateLockError(message, { code: 'UNLOCK_REFUSED', exit: 'conflict', hint });
}
