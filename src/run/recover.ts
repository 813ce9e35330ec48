import type { ChildEnd } from '../child/supervise.js';
import type { UncleanEnd } from '../lock/answers.js';
import { CALL_LIMIT_MS } from '../lock/calls.js';
import { orAborted } from '../lock/or-aborted.js';
import { explain } from '../db/explain.js';
import { databaseLeftovers } from '../recover/leftovers.js';
import type { RecognizedTool } from '../recover/recognize.js';
import { redactCommand } from '../redact/command.js';
import { prismaRecovery } from '../recover/prisma.js';
import { isToolLocked, sessionsOfLease, takenToolLocks } from '../recover/tool-locks.js';
import { findProgram, shellArgv, type Program } from './program.js';
import { recoveryPlan, type RecoveryPlan } from './recovery-plan.js';
import type { RunContext, RunOptions } from './run-context.js';
import type { UnderLease } from './under-lease.js';

/** What was done about the unclean end of the command's last lease. */
export type Recovery =
  | { outcome: 'none' }
  /** What it left behind is repaired. */
  | { outcome: 'recovered' }
  /** The command must not be started. */
  | { outcome: 'failed'; end: ChildEnd };

/** Reports and recovers what an unclean end of the command's last lease left behind, under the lease. */
export async function recover(
  context: RunContext,
  under: UnderLease,
  previousEnd: UncleanEnd | null,
  interrupt: AbortSignal,
): Promise<Recovery> {
  if (previousEnd === null) return { outcome: 'none' };
  const { options, calls, signals } = context;
  const plan = recoveryPlan(options);
  let commands: readonly (readonly string[])[];
  try {
    // A signal does not wait for a database that does not answer.
    await orAborted(reportLeftovers(context), interrupt);
    commands = await orAborted(commandsOf(plan, context, previousEnd, interrupt), interrupt);
    interrupt.throwIfAborted();
  } finally {
    // The recovery and the command may need the connection.
    calls.database.disconnect();
  }
  let leftovers = 0;
  for (const argv of commands) {
    const end = await under.run(recoveryFor(argv, options, previousEnd));
    if (!end.gone || end.reason !== 'exited') return { outcome: 'failed', end };
    // It may have ended with 0 before it was done.
    signals.throwIfForwarded();
    leftovers += end.leftovers;
    if (end.exitCode === 0) continue;
    if (plan.by !== 'tool') return { outcome: 'failed', end };
    skip(context, plan.recognized, 'the command that releases it failed');
    return { outcome: 'none' };
  }
  // A recovery with processes that had to be ended may not have finished: the unclean end stays until the command succeeds.
  return { outcome: commands.length > 0 && leftovers === 0 ? 'recovered' : 'none' };
}

/** @throws {MigrateLockError} when a preset that was named cannot be used. */
async function commandsOf(
  plan: RecoveryPlan,
  context: RunContext,
  previousEnd: UncleanEnd,
  interrupt: AbortSignal,
): Promise<readonly (readonly string[])[]> {
  const { options, calls } = context;
  switch (plan.by) {
    case 'nothing':
      return [];
    case 'command':
      return [shellArgv(plan.line)];
    case 'tool':
      return (await mayRelease(context, plan.recognized, previousEnd, interrupt))
        ? [plan.recognized.recovery]
        : [];
    case 'prisma':
      try {
        return await prismaRecovery(calls.database, [options.command, ...options.args], options.cwd);
      } catch (error) {
        throw explain(error, calls.database.description, calls.schema);
      }
  }
}

/** After a command has failed that was not recovered: a lock of its tool may be the reason. */
export async function reportToolLocks({ calls, events }: RunContext): Promise<void> {
  // The failure of the command is what counts, not that of this read.
  const locks = await takenToolLocks(calls.database).catch(() => []);
  if (locks.length > 0) events.emit({ event: 'tool.locked', locks });
}

function recoveryFor(argv: readonly string[], options: RunOptions, previousEnd: UncleanEnd): Program {
  return findProgram('recovery', argv, options, {
    MIGRATE_LOCK_PREVIOUS_END: previousEnd.kind,
    MIGRATE_LOCK_PREVIOUS_INSTANCE_ID: previousEnd.instanceId,
    MIGRATE_LOCK_PREVIOUS_COMMAND: previousEnd.command ?? '',
  });
}

async function reportLeftovers({ calls, events }: RunContext): Promise<void> {
  // A failed search is no reason to keep the command from running.
  const leftovers = await databaseLeftovers(calls.database).catch(() => null);
  if (leftovers !== null) events.emit({ event: 'database.leftovers', ...leftovers });
}

/** Whether the tool's own lock is taken, and nothing of the last lease can still need it. */
async function mayRelease(
  context: RunContext,
  recognized: RecognizedTool,
  previousEnd: UncleanEnd,
  interrupt: AbortSignal,
): Promise<boolean> {
  const { database } = context.calls;
  try {
    // Behind a pooler, an idle session with the lease's name may be another client's.
    await database.findPooler(CALL_LIMIT_MS);
    if (!(await isToolLocked(database, recognized.tool, previousEnd))) return false;
    const reason =
      previousEnd.kind === 'unlocked'
        ? '`migrate-lock unlock` ends a lease and not its command, which may still run'
        : (await sessionsOfLease(database, previousEnd.instanceId)) > 0
          ? 'a database session of the last run is still open'
          : undefined;
    if (reason === undefined) return true;
    skip(context, recognized, reason);
  } catch (error) {
    interrupt.throwIfAborted();
    skip(context, recognized, error instanceof Error ? error.message : String(error));
  }
  return false;
}

/** The tool's own lock stays as it is, and the command is started. */
function skip({ options, events }: RunContext, { tool, recovery }: RecognizedTool, reason: string): void {
  const shown = redactCommand(recovery, options.connection.secrets);
  events.emit({ event: 'recover.skipped', tool, recovery: shown, reason });
}
