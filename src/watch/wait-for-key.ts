import { hostname } from 'node:os';
import { resolveCommand } from '../child/resolve-command.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { OwnDatabase } from '../db/own-database.js';
import { createEventStream } from '../events/event-stream.js';
import type { EventListener, EventOf } from '../events/events.js';
import { EXIT_CODES } from '../exit-codes.js';
import { endSummary } from '../lock/end-summary.js';
import type { HolderDescription } from '../lock/lease.js';
import type { RunDescription, WatchAnswer } from '../lock/answers.js';
import { LockCalls } from '../lock/calls.js';
import { newIdentity } from '../lock/lease.js';
import { reportFailure } from '../run/failure.js';
import { exitCodeOf } from '../run/once.js';
import { SignalRouter } from '../run/signals.js';
import { formatMoment } from '../text/moment.js';
import { become } from './become.js';
import { KeyWatcher, type WatchResult } from './watch-key.js';

export interface WaitForKeyOptions {
  runKey: string;
  /** What this process becomes when the work is done; null: it exits with 0. */
  command: string | null;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  connection: ConnectionConfig;
  schema: string;
  waitTimeoutMs: number;
  /** How long a failure from before the wait counts; null: no failure ends the wait. */
  failureMemoryMs: number | null;
  /** Called when nothing is written any more: resolves when everything was. */
  flush: () => Promise<void>;
}

type Finished = EventOf<'wait.finished'>;
type Ending = Pick<Finished, 'outcome' | 'exitCode'> & {
  seen: WatchAnswer | null;
  run: RunDescription | null;
};

/**
 * Waits until the work of the run key is done, without the lock, and then becomes the command.
 * @returns the exit code; never throws. The listeners get every event; the last one is `wait.finished`.
 */
export async function waitForKey(
  options: WaitForKeyOptions,
  listeners: readonly EventListener[],
): Promise<number> {
  const { command, args, env, cwd, connection, schema, runKey, waitTimeoutMs } = options;
  const { instanceId } = newIdentity();
  const database = new OwnDatabase(connection);
  const context = { instanceId, host: hostname(), pid: process.pid, database: connection.database, schema };
  const events = createEventStream(context, listeners);
  const signals = new SignalRouter();
  const signal = signals.interruptible();
  const { emit } = events;
  const watcher = new KeyWatcher(new LockCalls(database, schema), { ...options, signal, emit });
  const finish = (ending: Ending): void =>
    emit({
      event: 'wait.finished',
      runKey,
      ...summary(ending),
      waitedMs: watcher.waitedMs,
      looks: watcher.reads,
    });
  const redacted = { command: command ?? '', connection };
  let file: string | null;
  try {
    // Before the wait: what cannot be started is known at once.
    file = command === null ? null : resolveCommand(command, env, cwd);
    emit({ event: 'wait.started', runKey, waitTimeoutMs });
    const ending = endingOf(await watcher.watch());
    finish(ending);
    if (ending.exitCode !== 0) return ending.exitCode;
  } catch (error) {
    const { outcome, exitCode } = reportFailure(error, redacted, events);
    const ending = outcome === 'interrupted' ? 'interrupted' : 'error';
    finish({ outcome: ending, exitCode, seen: null, run: null });
    return exitCode;
  } finally {
    database.disconnect();
  }
  if (command === null || file === null) return 0;
  try {
    return await become({ file, command, args, env, cwd }, { signals, flush: options.flush });
  } catch (error) {
    return reportFailure(error, redacted, events).exitCode;
  } finally {
    signals.close();
  }
}

function endingOf(result: WatchResult): Ending {
  switch (result.outcome) {
    case 'succeeded':
    case 'failed': {
      const { outcome, run } = result;
      return { outcome, exitCode: exitCodeOf(run), seen: null, run };
    }
    case 'timeout':
      return {
        outcome: 'timeout',
        exitCode: EXIT_CODES.conflict.code,
        seen: result.seen,
        run: result.seen?.failure ?? null,
      };
  }
}

function summary({
  outcome,
  exitCode,
  seen,
  run,
}: Ending): Omit<Finished, 'event' | 'runKey' | 'waitedMs' | 'looks'> {
  const holder: HolderDescription | null = seen?.holder ?? null;
  const unclean = seen?.uncleanEnd ?? null;
  return {
    outcome,
    exitCode,
    run: run && {
      instanceId: run.instanceId,
      host: run.host,
      command: run.command,
      exitCode: exitCodeOf(run),
      finishedAt: formatMoment(run.finishedAtMs),
    },
    uncleanEnd: unclean && endSummary(unclean),
    holder: holder?.instanceId ?? null,
    holderHost: holder?.host ?? null,
    holderCommand: holder?.command ?? null,
    heldMs: holder && Math.max(0, holder.heldMs),
    expiresInMs: holder && Math.max(0, holder.expiresInMs),
    isAwaited: seen?.isAwaited ?? false,
  };
}
