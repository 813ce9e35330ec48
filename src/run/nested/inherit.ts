import type net from 'node:net';
import { MigrateLockError } from '../../errors.js';
import type { LockCalls } from '../../lock/calls.js';
import type { HolderDescription } from '../../lock/lease.js';
import { LockWaitTimeoutError } from '../../lock/lock-wait-timeout-error.js';
import { dateOf } from '../../text/moment.js';
import { openToHolder, unreachable } from '../holder/ask-holder.js';
import type { HeldLease } from '../holder/holder-socket.js';
import { childTimes } from '../../lock/lease-times.js';

/** A lease that an outer run holds, and under which we may run as long as the connection to it is open. */
export interface InheritedLease {
  /** The outer run's socket. */
  socketPath: string;
  /** As the database describes it. */
  lease: OuterLease;
  /** Called when the holder says that it has extended its lease, and when it is gone. */
  watch: (onChange: (told: HeldLease) => void, onGone: () => void) => void;
  giveUp: () => void;
}

export interface OuterLease {
  schema: string;
  instanceId: string;
  fencingToken: number;
  dbRole: string;
  expiresAt: Date;
  /** When our child is asked to end, and when it is killed, on performance.now()'s clock. */
  termAtMs: number;
  killAtMs: number;
}

/**
 * Whether the lease in our lock is the one that a holder describes. Its instance id is not enough: on another lock, another role can
 * take a lease under any id that it has seen. The role is what nobody can choose.
 */
export function isSameLease(told: HeldLease, lease: HolderDescription, schema: string): boolean {
  return (
    told.instanceId === lease.instanceId &&
    told.dbRole === lease.dbRole &&
    told.fencingToken === lease.fencingToken &&
    told.schema === schema
  );
}

/**
 * What the database says of a lease that a holder has told of. A socket's word alone is no lease: token and end are the
 * database's, and the child's times are never later than that end allows.
 * @param toldAtMs when it told, on performance.now()'s clock.
 * @returns undefined: it is not held any more.
 * @throws what the database says.
 */
export async function confirmLease(
  calls: LockCalls,
  told: HeldLease,
  toldAtMs: number,
  limitMs?: number,
): Promise<OuterLease | undefined> {
  const askedAtMs = performance.now();
  const { state, lease } = await calls.status(limitMs);
  if (state !== 'held' || lease === null || !isSameLease(told, lease, calls.schema)) return undefined;
  const { instanceId, fencingToken, dbRole, expiresAtMs, expiresInMs } = lease;
  const lastMs = askedAtMs + expiresInMs - childTimes(0, 0).killBeforeEndMs;
  const killAtMs = Math.min(toldAtMs + told.killInMs, lastMs);
  return {
    schema: calls.schema,
    instanceId,
    fencingToken,
    dbRole,
    expiresAt: dateOf(expiresAtMs),
    termAtMs: Math.min(toldAtMs + told.termInMs, killAtMs),
    killAtMs,
  };
}

/**
 * Waits for a turn under the outer run's lease: two inner runs at a time would be two children at once.
 * @throws {LockWaitTimeoutError} when it did not come in time; the signal's reason when it was aborted; HOLDER_UNREACHABLE
 * when the holder is gone; LEASE_NOT_HELD when the lease was over by then; what the database says.
 */
export async function inheritLease(
  socketPath: string,
  calls: LockCalls,
  mark: string,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<InheritedLease> {
  const turn = await takeTurn(socketPath, mark, waitTimeoutMs, signal);
  try {
    const lease = await confirmLease(calls, turn.told, performance.now());
    signal.throwIfAborted();
    if (lease === undefined) {
      throw new MigrateLockError(
        `The lease ${turn.told.instanceId}, under which this run would run, is over.`,
        {
          code: 'LEASE_NOT_HELD',
          exit: 'lost',
          hint: 'Run the outer migrate-lock run again, with a longer --ttl.',
        },
      );
    }
    return { socketPath, lease, watch: turn.watch, giveUp: turn.giveUp };
  } catch (error) {
    turn.giveUp();
    throw error;
  }
}

interface Turn extends Pick<InheritedLease, 'watch' | 'giveUp'> {
  told: HeldLease;
}

function takeTurn(
  socketPath: string,
  mark: string,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<Turn> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    let onChange: (lease: HeldLease) => void = () => undefined;
    let onGone: () => void = () => undefined;
    const socket: net.Socket = openToHolder(socketPath, { request: 'inherit', mark }, (answer) => {
      if (!answer.ok) return fail(timeout());
      settle();
      onChange(answer.lease);
      resolve({
        told: answer.lease,
        watch: (change, gone) => {
          onChange = change;
          onGone = gone;
          if (socket.destroyed) gone();
        },
        giveUp: () => {
          onGone = () => undefined;
          socket.destroy();
        },
      });
    });
    const timeout = (): Error => new LockWaitTimeoutError(null, performance.now() - startedAtMs, 1);
    const timer = setTimeout(() => fail(timeout()), Math.max(1, waitTimeoutMs));
    const abort = (): void => fail(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    const fail = (error: Error): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    socket.on('error', (error) => fail(unreachable(error)));
    socket.on('close', () => {
      fail(unreachable(new Error('it closed the connection')));
      onGone();
    });
  });
}
