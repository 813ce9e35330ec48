import { rmSync } from 'node:fs';
import path from 'node:path';
import { endLeftoverTree, readCrashRelease } from '../child/leftover-tree.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { OwnDatabase } from '../db/own-database.js';
import { LockCalls } from '../lock/calls.js';
import { releaseLease } from '../lock/release.js';
import type { Identity, Lease } from '../lock/lease.js';
import type { OrphanMode } from '../lock/poll-call.js';
import type { RunContext } from './run-context.js';

/**
 * What a holder leaves to its guard: all that is needed to release the lease, or to leave the queue, when it is dead. It
 * holds secrets.
 */
interface CrashRelease {
  connection: ConnectionConfig;
  schema: string;
  orphans: OrphanMode;
  /** Marks the processes of the holder's child. */
  mark: string;
  /** Where the holder's socket lies; nobody listens there any more. */
  socketFolder: string | null;
  identity: Identity;
  /** null: still waiting for it, or not known to have acquired it. */
  lease: {
    fencingToken: number;
    dbRole: string;
    /** On the wall clock, which other processes share: only how long a release is tried depends on it. */
    endsAtEpochMs: number;
  } | null;
}

/** How long the database is given to take a dead waiter out of the queue. */
const LEAVE_LIMIT_MS = 5_000;

/**
 * Tells the guard what to do when this process is killed: end the child, if there is one, and release the lease, or leave the
 * queue. `lease` and `killAtMs`: not before there is a lease.
 */
export function orderGuard(
  { options, calls, mark, me, guard }: RunContext,
  socketPath: string | undefined,
  lease: Lease | null = null,
  killAtMs?: number,
): void {
  const release: CrashRelease = {
    connection: options.connection,
    schema: calls.schema,
    orphans: calls.orphanMode,
    mark,
    socketFolder: socketPath === undefined ? null : path.dirname(socketPath),
    identity: me,
    lease: lease && {
      fencingToken: lease.fencingToken,
      dbRole: lease.dbRole,
      endsAtEpochMs: Date.now() + lease.endsAtMs - performance.now(),
    },
  };
  guard.order({ killAtMs, killGraceMs: options.killGraceMs, crashRelease: JSON.stringify(release) });
}

/**
 * What the guard runs when the holder is dead and its child's tree gone: looks once more, then releases the lease. It fails
 * closed: what could not be seen gone keeps the lease, which runs out.
 * @returns whether the lease was released.
 */
export async function releaseAfterCrash(line: string): Promise<boolean> {
  const { child, crashRelease: text } = readCrashRelease(line);
  const left = JSON.parse(text) as CrashRelease;
  if (left.socketFolder !== null) rmSync(left.socketFolder, { recursive: true, force: true });
  const isGone = await endLeftoverTree(left.mark, child);
  // Without a lease there is only a place in the queue to leave.
  if (!isGone && left.lease !== null) return false;
  const database = new OwnDatabase(left.connection);
  try {
    return await release(left, new LockCalls(database, left.schema, left.orphans));
  } finally {
    database.disconnect();
  }
}

async function release({ identity, lease }: CrashRelease, calls: LockCalls): Promise<boolean> {
  if (lease === null) {
    const { outcome } = await calls.leave(identity, LEAVE_LIMIT_MS);
    return outcome === 'released';
  }
  const { fencingToken, dbRole, endsAtEpochMs } = lease;
  const held: Lease = {
    instanceId: identity.instanceId,
    fencingToken,
    dbRole,
    lockedAt: new Date(),
    expiresAt: new Date(endsAtEpochMs),
    endsAtMs: performance.now() + endsAtEpochMs - Date.now(),
  };
  const outcome = await releaseLease(calls, identity, held, {
    by: 'guard',
    end: {},
    emit: () => undefined, // nobody reads our stdout any more: the database's history tells
  });
  return outcome === 'released';
}
