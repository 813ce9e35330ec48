import type net from 'node:net';
import { MigrateLockError } from '../../errors.js';
import type { LockCalls } from '../../lock/calls.js';
import type { HolderDescription } from '../../lock/lease.js';
import { LockWaitTimeoutError } from '../../lock/lock-wait-timeout-error.js';
import { orAborted } from '../../lock/or-aborted.js';
import { dateOf } from '../../text/moment.js';
import { openToHolder, unreachable } from '../holder/holder-client.js';
import type { HeldLease } from '../holder/holder-socket.js';
import { childTimes } from '../../lock/lease-times.js';

/** An outer run's lease, under which we may run as long as the connection to that run is open. */
export interface InheritedLease {
  /** The outer run's socket. */
  socketPath: string;
  /** As the database describes it. */
  lease: OuterLease;
  /** Calls `onChange` when the holder has extended its lease, `onGone` when the connection is closed. */
  watch: (onChange: OnChange, onGone: () => void) => void;
  giveUp: () => void;
}

type OnChange = (described: HeldLease, describedAtMs: number) => void;

export interface OuterLease {
  schema: string;
  instanceId: string;
  fencingToken: number;
  dbRole: string;
  expiresAt: Date;
  /** When our child gets SIGTERM, and SIGKILL, on performance.now()'s clock. */
  termAtMs: number;
  killAtMs: number;
  /** On performance.now()'s clock; never later than `expiresAt`. */
  endsAtMs: number;
  /** The length of the whole lease, with its extensions. */
  lastsMs: number;
}

/**
 * Whether the lease in our lock is the one that a holder describes. The instance id is not enough: on another lock, another
 * role can acquire a lease under any id that it has seen. The role cannot be forged.
 */
export function isSameLease(described: HeldLease, lease: HolderDescription, schema: string): boolean {
  return (
    described.instanceId === lease.instanceId &&
    described.dbRole === lease.dbRole &&
    described.fencingToken === lease.fencingToken &&
    described.schema === schema
  );
}

/**
 * Checks a lease that a holder has described against the database: the token and the end are the database's, and the child's
 * times are never later than that end allows.
 * @param describedAtMs when the holder described it, on performance.now()'s clock.
 * @returns undefined: it is not held any more.
 * @throws the error of the database.
 */
export async function confirmLease(
  calls: LockCalls,
  described: HeldLease,
  describedAtMs: number,
  limitMs?: number,
): Promise<OuterLease | undefined> {
  const askedAtMs = performance.now();
  const { state, lease } = await calls.status(limitMs);
  if (state !== 'held' || lease === null || !isSameLease(described, lease, calls.schema)) return undefined;
  const { instanceId, fencingToken, dbRole, expiresAtMs, heldMs, expiresInMs } = lease;
  const endsAtMs = askedAtMs + expiresInMs;
  const lastMs = endsAtMs - childTimes(0, 0).killBeforeEndMs;
  const killAtMs = Math.min(describedAtMs + described.killInMs, lastMs);
  return {
    schema: calls.schema,
    instanceId,
    fencingToken,
    dbRole,
    expiresAt: dateOf(expiresAtMs),
    termAtMs: Math.min(describedAtMs + described.termInMs, killAtMs),
    killAtMs,
    endsAtMs,
    lastsMs: heldMs + expiresInMs,
  };
}

/**
 * Waits for a turn under the outer run's lease, so that there is one child at a time.
 * @throws {LockWaitTimeoutError} at the wait timeout; the signal's reason when it was aborted; HOLDER_UNREACHABLE when the
 * connection to the holder is lost; LEASE_NOT_HELD when the lease has ended; the error of the database.
 */
export async function inheritLease(
  socketPath: string,
  calls: LockCalls,
  mark: string,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<InheritedLease> {
  signal.throwIfAborted();
  const turn = await takeTurn(socketPath, mark, waitTimeoutMs, signal);
  try {
    const lease = await orAborted(confirmLease(calls, turn.described, performance.now()), signal);
    if (lease === undefined) {
      throw new MigrateLockError(`The lease ${turn.described.instanceId} of the outer run has ended.`, {
        code: 'LEASE_NOT_HELD',
        exit: 'lost',
        hint: 'Run the outer migrate-lock run again, with a longer --ttl.',
      });
    }
    return { socketPath, lease, watch: turn.watch, giveUp: turn.giveUp };
  } catch (error) {
    turn.giveUp();
    throw error;
  }
}

interface Turn extends Pick<InheritedLease, 'watch' | 'giveUp'> {
  described: HeldLease;
}

function takeTurn(
  socketPath: string,
  mark: string,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<Turn> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    let isGiven = false;
    /** An extension that arrives before there is a listener. */
    let missed: (() => void) | undefined;
    let onChange: OnChange = (...change) => (missed = () => onChange(...change));
    let onGone: () => void = () => undefined;
    const socket: net.Socket = openToHolder(socketPath, { request: 'inherit', mark }, (answer) => {
      if (!answer.ok) return fail(timeout());
      settle();
      if (isGiven) return onChange(answer.lease, performance.now());
      isGiven = true;
      resolve({
        described: answer.lease,
        watch: (change, gone) => {
          onChange = change;
          onGone = gone;
          missed?.();
          missed = undefined;
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
