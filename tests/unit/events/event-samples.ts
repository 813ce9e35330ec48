import { EVENT_VERSION, OUTCOMES, type EventName, type EventOf } from '../../../src/events/events.js';

const holds = {
  holder: 'V1StGXR8',
  holderHost: 'web-7f9',
  holderCommand: 'knex migrate:latest',
  heldMs: 18_000,
  expiresInMs: -3,
};
const holder = { ...holds, queueLength: 9 };
const nobodyHolds = {
  holder: null,
  holderHost: null,
  holderCommand: null,
  heldMs: null,
  expiresInMs: null,
};
const nobody = { ...nobodyHolds, queueLength: 0 };
const expiresAt = '2026-01-02T03:04:05.678Z';
const sessions = [
  {
    ...{ pid: 4711, role: 'app', client: null, state: 'active', stateMs: 21_000, openMs: 22_000 },
    ...{
      waitEvent: 'Lock: relation',
      statement: 'ALTER TABLE orders ADD COLUMN a text DEFAULT ?',
      queued: 3,
    },
    waiting: {
      ...{ lock: 'relation', mode: 'AccessExclusiveLock', object: 'public.orders', ms: 21_000 },
      blockers: [
        {
          pid: 812,
          role: 'shop',
          application: 'web',
          state: 'idle in transaction',
          openMs: 360_000,
          isOwn: false,
        },
      ],
    },
    progress: { command: 'CREATE INDEX', object: 'public.orders', phase: 'building index', done: 0.43 },
  },
  {
    ...{ pid: 4712, role: null, client: null, state: null, stateMs: null, openMs: null, waitEvent: null },
    ...{ statement: null, waiting: null, queued: 0, progress: null },
  },
];
export const auditHash = '0f'.repeat(32);

/** The fields of every event. */
export const common = {
  v: EVENT_VERSION,
  time: '2026-01-02T03:04:05.678Z',
  instanceId: 'a',
  fencingToken: 7,
  host: 'h',
  pid: 1,
  database: 'd',
  schema: 's',
};

/**
 * Sample values for each field of each event. TypeScript compares them with src/events/events.ts, the test with the
 * schema.
 */
export const SAMPLES: { [N in EventName]: Omit<EventOf<N>, 'event'>[] } = {
  'schema.applied': [
    { fromVersion: null, toVersion: 1 },
    { fromVersion: 1, toVersion: 2 },
  ],
  'database.unavailable': [{ code: 'ECONNREFUSED', message: 'refused', attempts: 3 }],
  'lock.waiting': [
    { ...holder, waitedMs: 0 },
    { ...nobody, waitedMs: 12 },
  ],
  'lock.rate_limited': [{ retryAfterMs: 250 }],
  'lock.acquired': [
    { waitedMs: 2, polls: 1, ttlMs: 30_000, expiresAt, auditHash, previousEnd: null },
    {
      ...{ waitedMs: 2, polls: 1, ttlMs: 30_000, expiresAt, auditHash, runKeyOfOtherCommand: 'true' },
      previousEnd: {
        kind: 'deadline',
        instanceId: 'V1StGXR8',
        command: 'knex migrate:latest',
        endedAt: expiresAt,
      },
    },
  ],
  'lock.orphans': [
    {
      holder: 'V1StGXR8',
      sessions: [{ pid: 4711, role: 'app', client: '10.0.0.7', openMs: 21_000 }],
      denied: 1,
    },
    { holder: 'V1StGXR8', sessions: [{ pid: 4711, role: null, client: null, openMs: null }], denied: 0 },
  ],
  'database.blocking': [
    {
      ...{ sessionPid: 4711, role: 'app', state: 'active', statement: 'ALTER TABLE orders ADD COLUMN a int' },
      ...{ object: 'public.orders', waiting: 12, waitedMs: 3_000, action: 'cancelled', reason: null },
    },
    {
      ...{ sessionPid: 4711, role: null, state: null, statement: null, object: null },
      ...{ waiting: 1, waitedMs: 3_000, action: 'reported', reason: 'hidden' },
    },
  ],
  'database.leftovers': [
    {
      indexes: [
        {
          ...{ schema: 'app', table: 'users', name: 'users_email' },
          drop: 'DROP INDEX CONCURRENTLY app.users_email',
          reindex: 'REINDEX INDEX CONCURRENTLY app.users_email',
        },
        { schema: 'app', table: 'users', name: 'users_key', drop: null, reindex: null },
      ],
      preparedTransactions: [
        {
          ...{ gid: 'x', role: 'app', preparedAt: expiresAt },
          commit: "COMMIT PREPARED 'x'",
          rollback: "ROLLBACK PREPARED 'x'",
        },
      ],
    },
    { indexes: null, preparedTransactions: null },
  ],
  'tool.locked': [
    {
      locks: [
        { tool: 'knex', schema: 'public', table: 'knex_migrations_lock', recover: 'npx knex migrate:unlock' },
        { tool: 'prisma', schema: 'public', table: '_prisma_migrations', recover: 'prisma' },
      ],
    },
  ],
  'lock.inherited': [{ holder: 'V1StGXR8', expiresAt }],
  'lock.takeover': [{ previousInstanceId: 'V1StGXR8', expiredMs: 12, sessionsEnded: 0, auditHash: null }],
  'child.started': [{ childPid: 42, command: 'knex migrate:latest', deadlineMs: 23_000 }],
  'child.unseen': [{}],
  'child.exited': [
    { exitCode: 0, signal: null, durationMs: 1 },
    { exitCode: null, signal: 'SIGKILL', durationMs: 1 },
  ],
  'child.retry': [
    { retry: 1, retries: 3, delayMs: 1_000, exitCode: 0, signal: null, isCutOff: true },
    { retry: 2, retries: 3, delayMs: 2_000, exitCode: null, signal: 'SIGSEGV', isCutOff: true },
  ],
  'child.retries_ended': [{ retry: 1, retries: 3, reason: 'time' }],
  'lease.expiring': [
    { expiresInMs: 6_000, deadlineMs: -1, canExtend: true },
    { expiresInMs: 6_000, deadlineMs: -1, canExtend: false, sessions },
  ],
  'lease.extended': [{ ttlMs: 60_000, expiresAt, auditHash }],
  'lease.kept': [
    {
      processes: [{ pid: 4711, user: 'deploy', command: 'sleep' }],
      ttlMs: 30_000,
      expiresAt,
      last: false,
      auditHash,
    },
    { processes: null, ttlMs: 30_000, expiresAt, last: true, auditHash: null },
  ],
  'child.deadline': [
    { ttlMs: 30_000, ranMs: 23_000, expiresInMs: 7_000, recovery: null, sessions },
    { ttlMs: 30_000, ranMs: 40_000, expiresInMs: 0, recovery: null },
  ],
  'child.leftover': [{ count: 2 }],
  'lock.released': [{ heldMs: 1_234, auditHash }],
  'lock.release_delayed': [{ code: 'ECONNREFUSED', message: 'refused', expiresAt }],
  'lock.release_failed': [{ code: 'ECONNREFUSED', message: 'refused', expiresAt }],
  'lock.lost': [{ holder: null }, { holder: 'V1StGXR8' }],
  'wait.timeout': [
    { ...holder, waitedMs: 30_000, polls: 31, handovers: 3, sessions },
    { ...nobody, waitedMs: 30_000, polls: 0, handovers: 0 },
  ],
  'wait.started': [{ runKey: 'release 1', waitTimeoutMs: 600_000 }],
  'wait.finished': [
    {
      ...{ ...nobodyHolds, runKey: 'release 1', outcome: 'succeeded', exitCode: 0, waitedMs: 12, looks: 1 },
      ...{ uncleanEnd: null, isAwaited: false },
      run: { instanceId: 'a', host: 'web-1', command: 'knex', exitCode: 0, finishedAt: expiresAt },
    },
    {
      ...{
        ...holds,
        runKey: 'release 1',
        outcome: 'timeout',
        exitCode: 75,
        waitedMs: 12,
        looks: 9,
        run: null,
      },
      uncleanEnd: { kind: 'killed', instanceId: 'V1StGXR8', command: null, endedAt: expiresAt },
      isAwaited: true,
    },
  ],
  'run.skipped': [
    {
      reason: 'once',
      runKey: '4f2c1d',
      succeeded: true,
      exitCode: 0,
      by: 'V1StGXR8_Z5jdHi6B-myT',
      byHost: 'web-7f9',
      byCommand: 'knex migrate:latest',
      finishedAt: '2026-01-02T03:04:05.000Z',
      ranMs: 1_200,
    },
    {
      reason: 'once',
      runKey: '4f2c1d',
      succeeded: false,
      exitCode: 3,
      by: 'V1StGXR8_Z5jdHi6B-myT',
      byHost: null,
      byCommand: null,
      finishedAt: '2026-01-02T03:04:05.000Z',
      ranMs: 0,
    },
    {
      reason: 'check',
      runKey: null,
      succeeded: true,
      exitCode: 0,
      by: null,
      byHost: null,
      byCommand: null,
      finishedAt: null,
      ranMs: null,
    },
  ],
  'recover.started': [{ childPid: 7, command: "sh -c 'knex migrate:unlock'", deadlineMs: 23_000 }],
  'recover.exited': [
    { exitCode: 0, signal: null, durationMs: 900 },
    { exitCode: 3, signal: null, durationMs: 900 },
  ],
  'recover.skipped': [{ tool: 'knex', recovery: 'knex migrate:unlock', reason: 'a session is still open' }],
  'check.started': [{ childPid: 8, command: "sh -c './pending.sh'", deadlineMs: 30_000 }],
  'check.exited': [
    { exitCode: 0, signal: null, durationMs: 400 },
    { exitCode: null, signal: 'SIGTERM', durationMs: 400 },
  ],
  'run.not_stored': [{ runKey: '4f2c1d' }],
  'guard.restarted': [{ restarts: 1 }],
  'guard.absent': [{ reason: 'no sh' }],
  'socket.absent': [{ reason: '/tmp: EROFS' }],
  error: [
    { code: 'USAGE', message: 'no' },
    { code: 'USAGE', message: 'no', hint: 'yes' },
  ],
  'run.finished': OUTCOMES.map((outcome) => ({ outcome, exitCode: 75, durationMs: 1 })),
};
