import { formatDuration } from '../text/duration.js';
import { PLAIN, type Paint } from './colour.js';
import { printable } from './printable.js';
import { bar, describeSessions } from './session-table.js';
import type { SessionActivity } from '../events/events.js';
import { unclean, type UncleanEndKind } from './unclean-end.js';

interface Client {
  instanceId: string;
  host: string | null;
  pid: number | null;
  dbRole: string;
  command: string | null;
  runKey: string | null;
}

/** The output of `migrate-lock status`; with `--json` it is printed as it is. */
export interface StatusReport {
  database: string;
  schema: string;
  /** `expired`: the lease has expired without a release; the next run takes over. */
  state: 'free' | 'held' | 'expired';
  /** The last lease, in any state; null before the first. Timestamps are the database's. */
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
  /** How many instances wait for a run key (`migrate-lock wait`); null: not known, on a replica. */
  watchers: number | null;
  /** The database sessions of a lease that was not released, at most 100; null: none, or not known. */
  sessions: SessionActivity[] | null;
  /** Why the sessions are not known; null: they are, or there is no lease. */
  sessionsUnknown: string | null;
  /** The commands whose last lease had an unclean end, the newest 100, in order of time. */
  uncleanEnds: { kind: UncleanEndKind; instanceId: string; command: string | null; endedAt: string }[];
  /** True: read on a replica, which may lag behind and has no list of waiters. */
  isReplica: boolean;
}

/** The report for people, line by line. Texts of other clients are made printable. */
export function describeStatus(report: StatusReport, paint: Paint = PLAIN): string[] {
  const stateColour = { held: paint.warn, expired: paint.bad, free: paint.good }[report.state];
  return [
    `The lock of ${printable(report.database)} (schema ${printable(report.schema)}) is ${stateColour(describeState(report))}.`,
    ...(report.lease === null ? [] : ['', ...describeLease(report.lease, report.state, paint)]),
    '',
    ...describeSessions(report, paint),
    ...describeWaiters(report),
    ...describeWatchers(report),
    ...describeUncleanEnds(report),
  ];
}

function describeState({ state, lease }: StatusReport): string {
  switch (state) {
    case 'held':
      return 'held';
    case 'expired':
      return 'not held: the lease has expired without a release, and the next run takes over';
    case 'free':
      return lease === null ? 'free; it has not been used yet' : 'free; this was the last holder';
  }
}

function describeLease(
  lease: NonNullable<StatusReport['lease']>,
  state: StatusReport['state'],
  paint: Paint,
): string[] {
  const { expiresInMs, heldMs } = lease;
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
    ['left', state === 'held' ? describeRest(heldMs, expiresInMs) : null],
  ];
  return rows.flatMap(([name, value]) =>
    value === null ? [] : [`  ${paint.dim(name.padEnd(15))}${printable(value)}`],
  );
}

/** `[########------------] 12s of 30s` */
function describeRest(heldMs: number, expiresInMs: number): string {
  const wholeMs = Math.max(1, heldMs + expiresInMs);
  return `${bar(expiresInMs / wholeMs)} ${formatDuration(expiresInMs)} of ${formatDuration(wholeMs)}`;
}

function describeWaiters({ waiters, isReplica }: StatusReport): string[] {
  if (isReplica) return ['This is a replica: it may lag behind, and has no list of waiters.'];
  if (waiters.length === 0) return ['There are no waiters.'];
  const many = waiters.length > 1;
  return [
    `${waiters.length} ${many ? 'wait, in order of arrival' : 'waits'}:`,
    '',
    ...waiters.map((waiter, at) => `  ${at + 1}. ${describeWaiter(waiter)}`),
  ];
}

function describeWatchers({ watchers }: StatusReport): string[] {
  if (watchers === null || watchers === 0) return [];
  return ['', `${watchers} ${watchers === 1 ? 'waits' : 'wait'} for a run key (migrate-lock wait).`];
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

function describeUncleanEnds({ uncleanEnds }: StatusReport): string[] {
  if (uncleanEnds.length === 0) return [];
  return [
    '',
    'The last run of these commands had an unclean end:',
    '',
    ...uncleanEnds.map(({ kind, instanceId, command, endedAt }) =>
      printable(`  ${command ?? 'unknown command'}: ${unclean(kind)}, at ${endedAt} (${instanceId})`),
    ),
  ];
}
