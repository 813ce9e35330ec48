import type net from 'node:net';
import type { LockCalls } from '../lock/calls.js';
import { LockWaitTimeoutError } from '../lock/lock-wait-timeout-error.js';
import { askHolder, openToHolder } from './ask-holder.js';
import { SOCKET_VARIABLE, type HeldLease } from './holder-socket.js';

/** A lease that somebody else holds, and under which we may run as long as the connection to him is open. */
export interface InheritedLease {
  lease: HeldLease;
  /** Called when the holder has extended its lease, and when it is gone. */
  watch: (onChange: (lease: HeldLease) => void, onGone: () => void) => void;
  giveUp: () => void;
}

/**
 * Whether this run is inside the command of another run on the same lock. The living holder is asked who it is, and the
 * database of this run who holds its lock: a variable that was left over proves nothing.
 * @returns the path of the holder's socket.
 */
export async function findOuterHolder(env: NodeJS.ProcessEnv, calls: LockCalls): Promise<string | undefined> {
  const path = env[SOCKET_VARIABLE];
  if (path === undefined || path === '') return undefined;
  try {
    const answer = await askHolder(env, { request: 'describe' });
    if (!answer.ok) return undefined;
    const { state, lease } = await calls.status();
    return state === 'held' && lease?.instanceId === answer.lease.instanceId ? path : undefined;
  } catch {
    // No holder, or no lock schema: a run like any other, which will meet what is wrong with the database by itself.
    return undefined;
  }
}

/**
 * Waits for a turn under the outer run's lease: two inner runs at a time would be two children at once.
 * @throws {LockWaitTimeoutError} when it did not come in time; the signal's reason when it was aborted.
 */
export function inheritLease(
  path: string,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<InheritedLease> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    let onChange: (lease: HeldLease) => void = () => undefined;
    let onGone: () => void = () => undefined;
    const socket: net.Socket = openToHolder(path, { request: 'inherit' }, (answer) => {
      if (!answer.ok) return fail(timeout());
      settle();
      onChange(answer.lease);
      resolve({
        lease: answer.lease,
        watch: (change, gone) => {
          onChange = change;
          onGone = gone;
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
    socket.on('error', () => fail(timeout()));
    socket.on('close', () => {
      fail(timeout());
      onGone();
    });
  });
}
