import { rmSync } from 'node:fs';
import path from 'node:path';
import { endLeftoverTree, readReleaseInput } from '../child/leftover-tree.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { OwnDatabase } from '../db/own-database.js';
import { LockCalls } from '../lock/calls.js';
import { releaseLease } from '../lock/release.js';
import type { Identity, Lease } from '../lock/lease.js';
import type { OrphanMode } from '../lock/poll-call.js';
import type { RunContext } from './run-context.js';

/**
 * What the release program needs to release the lease, or to leave the queue, after the holder was killed. It contains
 * secrets.
 */
interface CrashRelease {
  connection: ConnectionConfig;
  schema: string;
  orphans: OrphanMode;
  /** Marks the processes of the holder's child. */
  mark: string;
  /** The directory of the holder's socket, to be removed. */
  socketFolder: string | null;
  identity: Identity;
  /** null: not acquired yet, or not known to be. */
  lease: {
    fencingToken: number;
    dbRole: string;
    /** On the wall clock, which processes share. It only limits how long the release is tried. */
    endsAtEpochMs: number;
  } | null;
}

/** The time limit for removing a killed waiter from the queue. */
const LEAVE_LIMIT_MS = 5_000;

/**
 * Sends the guard its orders for when this process is killed: end the child, if there is one, and release the lease, or leave
 * the queue. `lease` and `killAtMs` are given once there is a lease.
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
 * The release program, which the guard runs after the holder was killed and its child's tree has ended: scans the tree again,
 * then releases the lease. If a process may be left, the lease is kept and expires.
 * @returns whether the lease was released.
 */
export async function releaseAfterCrash(line: string): Promise<boolean> {
  const { child, crashRelease: text } = readReleaseInput(line);
  const left = JSON.parse(text) as CrashRelease;
  if (left.socketFolder !== null) rmSync(left.socketFolder, { recursive: true, force: true });
  const isGone = await endLeftoverTree(left.mark, child);
  // Without a lease there is only a place in the queue to leave.
  if (!isGone && left.lease !== null) return false;
  const database = new OwnDatabase(left.connection);
  try {
    return await releaseOrLeave(left, new LockCalls(database, left.schema, left.orphans));
  } finally {
    database.disconnect();
  }
}

async function releaseOrLeave({ identity, lease }: CrashRelease, calls: LockCalls): Promise<boolean> {
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
    end: { kind: 'killed' }, // also when no command is known: the holder may have been killed while it started one
    emit: () => undefined, // stdout has no reader; the release is in the database's history
  });
  return outcome === 'released';
}
