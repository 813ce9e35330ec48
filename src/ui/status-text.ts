import { formatDuration } from '../text/duration.js';
import { printable } from './printable.js';

interface Client {
  instanceId: string;
  host: string | null;
  pid: number | null;
  dbRole: string;
  command: string | null;
  runKey: string | null;
}

/** What `migrate-lock status` tells; with `--json` it is printed as it is. */
export interface StatusReport {
  database: string;
  schema: string;
  /** `expired`: the lease ran out and was never released; the next to come takes over. */
  state: 'free' | 'held' | 'expired';
  /** The last lease, whatever its state; null before the first. Moments are the database's. */
  lease:
    | (Client & {
        fencingToken: number;
        lockedAt: string;
        heldMs: number;
        expiresAt: string;
        expiresInMs: number;
        releasedAt: string | null;
      })
    | null;
  /** In order of arrival. */
  waiters: (Client & { waitingMs: number })[];
  /** True: read on a replica, which lags behind and does not know who waits. */
  isReplica: boolean;
}

/** The report for people, line by line. What others wrote (hosts, commands) is made printable. */
export function describeStatus(report: StatusReport): string[] {
  return [
    `The lock of ${printable(report.database)} (schema ${printable(report.schema)}) is ${stateOf(report)}.`,
    ...(report.lease === null ? [] : ['', ...describeLease(report.lease, report.state)]),
    '',
    ...describeWaiters(report),
  ];
}

function stateOf({ state, lease }: StatusReport): string {
  switch (state) {
    case 'held':
      return 'held';
    case 'expired':
      return 'not held: the lease ran out without having been released, and the next to come takes over';
    case 'free':
      return lease === null ? 'free; nobody has used it yet' : 'free; this was the last to have it';
  }
}

function describeLease(lease: NonNullable<StatusReport['lease']>, state: StatusReport['state']): string[] {
  const { expiresInMs } = lease;
  const until = expiresInMs > 0 ? `in ${formatDuration(expiresInMs)}` : `${formatDuration(-expiresInMs)} ago`;
  const rows: [string, string | null][] = [
    ['instance id', lease.instanceId],
    ['fencing token', String(lease.fencingToken)],
    ['host', lease.host],
    ['pid', lease.pid === null ? null : String(lease.pid)],
    ['role', lease.dbRole],
    ['command', lease.command],
    ['run key', lease.runKey],
    ['since', `${lease.lockedAt} (${formatDuration(lease.heldMs)} ago)`],
    // A release sets the lease's end to its own moment.
    state === 'free' ? ['released', lease.releasedAt] : ['until', `${lease.expiresAt} (${until})`],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [`  ${name.padEnd(15)}${printable(value)}`]));
}

function describeWaiters({ waiters, isReplica }: StatusReport): string[] {
  if (isReplica) return ['This is a replica: it may lag behind, and does not know who waits.'];
  if (waiters.length === 0) return ['Nobody waits.'];
  const many = waiters.length > 1;
  return [
    `${waiters.length} ${many ? 'wait, in order of arrival' : 'waits'}:`,
    '',
    ...waiters.map((waiter, at) => `  ${at + 1}. ${describeWaiter(waiter)}`),
  ];
}

/** `V1StGXR8_Z5jdHi6B-myT on web-2 (pid 9), role app, for 4s: knex migrate:latest` */
function describeWaiter({
  instanceId,
  host,
  pid,
  dbRole,
  command,
  runKey,
  waitingMs,
}: Client & { waitingMs: number }): string {
  const place = host === null ? '' : ` on ${host}${pid === null ? '' : ` (pid ${pid})`}`;
  const key = runKey === null ? '' : `, run key ${runKey}`;
  const what = command === null ? '' : `: ${command}`;
  return printable(`${instanceId}${place}, role ${dbRole}${key}, for ${formatDuration(waitingMs)}${what}`);
}
