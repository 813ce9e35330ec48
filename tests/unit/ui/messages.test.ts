import { describe, expect, test } from '@jest/globals';
import { formatError } from '../../../src/ui/error-text.js';
import { MigrateLockError, UsageError } from '../../../src/errors.js';
import { MAX_DURATION_MS } from '../../../src/text/duration.js';
import type { MigrateLockEvent, EventBody, SessionActivity } from '../../../src/events/events.js';
import { describeEvent } from '../../../src/ui/messages.js';

const event = (event: EventBody): MigrateLockEvent => ({
  v: 1,
  time: '2026-01-02T03:04:05.000Z',
  instanceId: 'a',
  fencingToken: 42,
  host: 'h',
  pid: 1,
  database: 'd',
  schema: 'migrate_lock',
  ...event,
});
const holder = {
  holder: 'V1StGXR8',
  holderHost: 'web-7f9',
  holderCommand: 'knex migrate:latest',
  heldMs: 18_000,
  expiresInMs: 11_000,
  queueLength: 9,
};
const skipped = {
  reason: 'once' as const,
  runKey: '4f2c1d',
  succeeded: true,
  exitCode: 0,
  by: 'V1StGXR8_Z5jdHi6B-myT',
  byHost: 'web-7f9',
  byCommand: 'knex migrate:latest',
  finishedAt: '2026-01-02T03:04:00.000Z',
  ranMs: 1_200,
};
const nobody = {
  holder: null,
  holderHost: null,
  holderCommand: null,
  heldMs: null,
  expiresInMs: null,
  queueLength: 1,
};
const expiresAt = '2026-01-02T03:04:35.000Z';

const WAITING: SessionActivity = {
  ...{
    pid: 4711,
    role: 'app',
    client: null,
    state: 'active',
    stateMs: 21_000,
    openMs: 21_000,
    waitEvent: 'Lock: relation',
  },
  ...{ statement: null, queued: 0, progress: null },
  waiting: {
    ...{ lock: 'relation', mode: 'AccessExclusiveLock', object: 'public.orders', ms: 21_000 },
    blockers: [
      {
        pid: 812,
        role: 'app',
        application: 'web',
        state: 'idle in transaction',
        openMs: 360_000,
        isOwn: false,
      },
    ],
  },
};

const waitEnd = {
  ...{ holder: null, holderHost: null, holderCommand: null, heldMs: null, expiresInMs: null },
  ...{ runKey: '4f2c1d', outcome: 'timeout' as const, exitCode: 75, run: null, uncleanEnd: null },
  ...{ isAwaited: false, waitedMs: 600_000, looks: 9 },
} as const;
const ranThere = {
  ...{ instanceId: 'V1StGXR8', host: 'web-7f9', command: 'knex migrate:latest' },
  ...{ exitCode: 3, finishedAt: '2026-01-02T03:04:00.000Z' },
};

describe('describeEvent', () => {
  const rows: [EventBody, string, string, string?][] = [
    [
      { event: 'wait.started', runKey: '4f2c1d', waitTimeoutMs: 600_000 },
      'info',
      'waiting until the work of 4f2c1d is done, for 10m at most',
    ],
    [
      {
        event: 'wait.finished',
        ...waitEnd,
        outcome: 'succeeded',
        exitCode: 0,
        run: { ...ranThere, exitCode: 0 },
      },
      'good',
      'the work of 4f2c1d was done by web-7f9 (knex migrate:latest) at 2026-01-02T03:04:00.000Z',
    ],
    [
      { event: 'wait.finished', ...waitEnd, outcome: 'failed', exitCode: 3, run: ranThere },
      'bad',
      'the work of 4f2c1d failed on web-7f9 (knex migrate:latest) at 2026-01-02T03:04:00.000Z, with exit code 3',
      'To wait for the next run of it, use --on-failure retry.',
    ],
    [
      { event: 'wait.finished', ...waitEnd },
      'bad',
      'gave up after 10m: the work of 4f2c1d is not done: no run of it is known',
      'Start it with migrate-lock run --once and the same key, in the same database and --schema.',
    ],
    [
      {
        ...{ event: 'wait.finished', ...waitEnd, ...holder, run: ranThere },
        uncleanEnd: { kind: 'killed', instanceId: 'a', command: null, endedAt: '2026-01-02T03:04:00.000Z' },
      },
      'bad',
      'gave up after 10m: the work of 4f2c1d is not done: the lock is held by web-7f9 (knex migrate:latest) since ' +
        '2026-01-02T03:03:47.000Z, until 2026-01-02T03:04:16.000Z at the latest; its last run failed on web-7f9 (knex ' +
        'migrate:latest) at 2026-01-02T03:04:00.000Z, with exit code 3; its run a had an unclean end: migrate-lock was ' +
        'killed, and the guard ended the command',
      'To wait longer, use --wait-timeout, for example --wait-timeout 20m',
    ],
    [
      {
        ...{ event: 'wait.finished', ...waitEnd },
        uncleanEnd: {
          ...{ kind: 'killed', instanceId: 'a', command: 'knex migrate:latest' },
          endedAt: '2026-01-02T03:04:00.000Z',
        },
      },
      'bad',
      'gave up after 10m: the work of 4f2c1d is not done: its run a (knex migrate:latest) had an unclean end: ' +
        'migrate-lock was killed, and the guard ended the command',
      'Run the same command again, with migrate-lock run --once and the same key.',
    ],
    [
      { event: 'wait.finished', ...waitEnd, isAwaited: true },
      'bad',
      'gave up after 10m: the work of 4f2c1d is not done: a run of it waits, or its lease expired without a release',
      'To wait longer, use --wait-timeout, for example --wait-timeout 20m',
    ],
    [
      { event: 'schema.applied', fromVersion: null, toVersion: 2 },
      'info',
      'created the lock schema migrate_lock',
    ],
    [
      { event: 'schema.applied', fromVersion: 1, toVersion: 2 },
      'info',
      'upgraded the lock schema migrate_lock from version 1 to 2',
    ],
    [
      { event: 'database.unavailable', code: '57P03', message: 'it is starting up', attempts: 2 },
      'warn',
      'the database cannot be used yet (it is starting up); trying again',
    ],
    [
      { event: 'lock.waiting', ...holder, waitedMs: 0 },
      'info',
      'waiting for the lock: held by web-7f9 (knex migrate:latest) for 18s, its lease ends in 11s, 9 waiting',
    ],
    [
      {
        event: 'lock.waiting',
        ...holder,
        holderHost: null,
        holderCommand: null,
        expiresInMs: -5,
        queueLength: 1,
        waitedMs: 0,
      },
      'info',
      'waiting for the lock: held by V1StGXR8 for 18s, its lease has expired',
    ],
    [
      { event: 'lock.waiting', ...nobody, waitedMs: 0 },
      'info',
      'waiting for the lock: another instance is just acquiring or releasing it',
    ],
    [
      { event: 'lock.rate_limited', retryAfterMs: 250 },
      'warn',
      'too many attempts from this client; the next one is made in 250ms',
    ],
    [
      {
        event: 'lock.acquired',
        waitedMs: 2_100,
        polls: 3,
        ttlMs: 30_000,
        expiresAt,
        auditHash: null,
        previousEnd: null,
      },
      'good',
      'acquired the lock after 2.1s (token 42), for 30s',
    ],
    [
      { event: 'lock.takeover', previousInstanceId: 'x', expiredMs: 850, sessionsEnded: 0, auditHash: null },
      'warn',
      'taking over from x, whose lease expired 850ms ago without having been released',
    ],
    [
      { event: 'lock.takeover', previousInstanceId: 'x', expiredMs: 850, sessionsEnded: 2, auditHash: null },
      'warn',
      'taking over from x, whose lease expired 850ms ago without having been released; ended 2 database sessions of it',
    ],
    [
      { event: 'child.started', childPid: 7, command: 'knex migrate:latest', deadlineMs: 23_000 },
      'info',
      'running knex migrate:latest (pid 7); it must be done within 23s',
    ],
    [
      { event: 'child.exited', exitCode: 0, signal: null, durationMs: 1_000 },
      'good',
      'the command succeeded after 1s',
    ],
    [
      { event: 'child.exited', exitCode: 3, signal: null, durationMs: 1_000 },
      'warn',
      'the command failed with exit code 3 after 1s',
    ],
    [
      { event: 'child.exited', exitCode: null, signal: 'SIGKILL', durationMs: 1_000 },
      'warn',
      'the command was ended by SIGKILL after 1s',
    ],
    [
      { event: 'lease.expiring', expiresInMs: 6_000, deadlineMs: 4_000, canExtend: true },
      'warn',
      'the command is still running and will be ended in 4s',
      'More time for this run: `migrate-lock extend --ttl 10m` from inside the command.',
    ],
    [
      { event: 'lease.expiring', expiresInMs: 6_000, deadlineMs: 4_000, canExtend: false },
      'warn',
      'the command is still running and will be ended in 4s',
      'More time for the next run: a longer --ttl.',
    ],
    [
      { event: 'socket.absent', reason: '/tmp: EROFS' },
      'warn',
      'a socket could not be created: the command cannot extend its lease, and a migrate-lock run inside it fails (/tmp: EROFS)',
      'Set TMPDIR to a directory that this user can write, and in which no other user can replace files.',
    ],
    [
      { event: 'lease.extended', ttlMs: 60_000, expiresAt, auditHash: null },
      'good',
      `extended the lease: it now ends at ${expiresAt}`,
    ],
    [
      { event: 'child.deadline', ttlMs: 45_000, ranMs: 38_000, expiresInMs: 7_000, recovery: null },
      'bad',
      'the command has run for 38s; it is ended now, before its lease expires',
      'The lease lasts 45s. Try a larger one, for example --ttl 90s. If the migration tool keeps a lock of its own, the next run may ' +
        'find it taken: see --recover.',
    ],
    [
      { event: 'child.deadline', ttlMs: MAX_DURATION_MS, ranMs: 38_000, expiresInMs: 1, recovery: 'knex' },
      'bad',
      'the command has run for 38s; it is ended now, before its lease expires',
      'That is the longest lease: split the migration. The next run of this command first releases the lock of knex itself, if it ' +
        'is taken.',
    ],
    [
      {
        event: 'child.deadline',
        ttlMs: 45_000,
        ranMs: 38_000,
        expiresInMs: 7_000,
        recovery: 'command',
        sessions: [WAITING],
      },
      'bad',
      'the command has run for 38s; it is ended now, before its lease expires: database session 4711 (app) has waited 21s for ' +
        'public.orders, held by pid 812 (web, role app, idle in transaction for 6m)',
      'End what it waits for before the next run: with a larger --ttl it only waits longer. The next run of this command runs its ' +
        '--recover first.',
    ],
    [
      // This process was suspended, and another instance may have taken over.
      { event: 'child.deadline', ttlMs: 45_000, ranMs: 61_000, expiresInMs: 0, recovery: null },
      'bad',
      'the command has run for 1m 1s, and its lease has expired: migrate-lock did not run in time; its remaining processes are ended now',
      'It may have run at the same time as the next run: check the database. assert_held() in the migration prevents that.',
    ],
    [
      { event: 'child.leftover', count: 1 },
      'warn',
      'the command left 1 process running; ending the leftover processes',
    ],
    [
      { event: 'child.leftover', count: 2 },
      'warn',
      'the command left 2 processes running; ending the leftover processes',
    ],
    [{ event: 'lock.released', heldMs: 3_200, auditHash: null }, 'good', 'released the lock after 3.2s'],
    [
      {
        event: 'lease.kept',
        processes: [{ pid: 4711, user: 'deploy', command: 'sleep' }],
        ttlMs: 30_000,
        expiresAt,
        last: false,
        auditHash: null,
      },
      'warn',
      `processes of the command cannot be ended: 4711 (sleep, user deploy); the lease was extended until ${expiresAt}, so that no other run starts beside them`,
      'End them as their user (sudo kill 4711); the lock is released then. After SIGTERM or SIGINT, migrate-lock gives up, and the lease expires.',
    ],
    [
      { event: 'lease.kept', processes: null, ttlMs: 30_000, expiresAt, last: true, auditHash: null },
      'warn',
      `processes of the command cannot be ended: they are hidden from us; the lease was extended once more, until ${expiresAt}, so that no other run starts beside them`,
      'End them as their user; the lock is released then. Otherwise the lease expires. After SIGTERM or SIGINT, migrate-lock does not wait for that.',
    ],
    [
      { event: 'guard.absent', reason: 'there is no /bin/sh' },
      'warn',
      'there is no guard (there is no /bin/sh): if migrate-lock is killed or stopped, the command is not ended, not even when the lease expires',
    ],
    [
      { event: 'lock.release_failed', code: 'ECONNREFUSED', message: 'refused', expiresAt },
      'bad',
      'the lock could not be released: refused',
      `The lease expires at ${expiresAt}; until then no other run can start.`,
    ],
    [
      { event: 'lock.release_failed', code: 'LEASE_EXPIRED', message: 'taken', expiresAt },
      'bad',
      'the lock could not be released: taken',
      'Other runs can start: `migrate-lock history` shows what has happened since.',
    ],
    [
      { event: 'lock.lost', holder: 'x' },
      'bad',
      'the lease was lost before its end: x has acquired the lock since',
    ],
    [
      { event: 'lock.lost', holder: null },
      'bad',
      'the lease was lost before its end: the lock is not held any more',
    ],
    [
      { event: 'wait.timeout', ...holder, waitedMs: 30_000, polls: 30, handovers: 0 },
      'bad',
      'gave up after 30s: held by web-7f9 (knex migrate:latest) since 2026-01-02T03:03:47.000Z, until 2026-01-02T03:04:16.000Z at the latest, 9 waiting',
      'The lock did not change hands during the wait. To wait longer, use --wait-timeout, for example --wait-timeout 5m.',
    ],
    [
      { event: 'wait.timeout', ...holder, waitedMs: 30_000, polls: 30, handovers: 12 },
      'bad',
      'gave up after 30s: held by web-7f9 (knex migrate:latest) since 2026-01-02T03:03:47.000Z, until 2026-01-02T03:04:16.000Z at the latest, 9 waiting',
      'The lock changed hands 12 times during the wait. To wait longer, use --wait-timeout, for example --wait-timeout 5m. If the work needs to be done only once for all runs, use --once with a key, for example the git commit of the release.',
    ],
    [
      {
        event: 'wait.timeout',
        ...holder,
        heldMs: 3_000,
        expiresInMs: 597_000,
        waitedMs: 3_000,
        polls: 3,
        handovers: 0,
      },
      'bad',
      'gave up after 3s: held by web-7f9 (knex migrate:latest) since 2026-01-02T03:04:02.000Z, until 2026-01-02T03:14:02.000Z at the latest, 9 waiting',
      'The lock did not change hands during the wait. To wait longer, use --wait-timeout, for example --wait-timeout 10m. ' +
        'The lease ends in 9m 57s, or when its command ends. ' +
        'If you know that the command no longer runs: `migrate-lock unlock --force --instance V1StGXR8`.',
    ],
    [
      { event: 'run.skipped', ...skipped },
      'good',
      'nothing to run: the work of 4f2c1d was done by web-7f9 (knex migrate:latest) at 2026-01-02T03:04:00.000Z',
    ],
    [
      { event: 'run.skipped', ...skipped, byHost: null, byCommand: 'true' },
      'good',
      'nothing to run: the work of 4f2c1d was done by V1StGXR8_Z5jdHi6B-myT (true) at 2026-01-02T03:04:00.000Z',
    ],
    [
      { event: 'run.skipped', ...skipped, succeeded: false, exitCode: 3 },
      'bad',
      'nothing to run: the work of 4f2c1d failed on web-7f9 (knex migrate:latest) at 2026-01-02T03:04:00.000Z, with exit code 3',
      'To try it again at once, use --on-failure retry.',
    ],
    [
      { event: 'guard.restarted', restarts: 1 },
      'warn',
      'the guard of the command had exited; started another one',
    ],
    [
      {
        event: 'lock.orphans',
        holder: 'x',
        sessions: [
          { pid: 4711, role: 'app', client: '10.0.0.7', openMs: 21_000 },
          { pid: 4712, role: null, client: null, openMs: null },
        ],
        denied: 1,
      },
      'warn',
      'the lease of x has expired, but database sessions of it are still open: 4711 (app at 10.0.0.7, in a transaction for 21s), 4712 (unknown role)',
      'Our role may not end them: that needs the same role, or pg_signal_backend. The takeover waits until they have ended. ' +
        'To end one: SELECT pg_terminate_backend(4711). If no role can end them: `migrate-lock unlock --force --instance x`. ' +
        "If they are not the command's, name its roles with init --child-role.",
    ],
    [
      {
        event: 'database.leftovers',
        indexes: [
          {
            ...{ schema: 'app', table: 'users', name: 'mail' },
            drop: 'DROP INDEX CONCURRENTLY app.mail',
            reindex: 'REINDEX INDEX CONCURRENTLY app.mail',
          },
          {
            ...{ schema: 'app', table: 'users', name: 'mail_ccnew', reindex: null },
            drop: 'DROP INDEX CONCURRENTLY app.mail_ccnew',
          },
        ],
        preparedTransactions: [
          {
            ...{ gid: 'x', role: 'app', preparedAt: expiresAt },
            commit: "COMMIT PREPARED 'x'",
            rollback: "ROLLBACK PREPARED 'x'",
          },
        ],
      },
      'warn',
      'the database has INVALID indexes that no session is building: app.mail (on users), app.mail_ccnew (on users), and prepared ' +
        `transactions of our role, which keep their locks: x (since ${expiresAt})`,
      'migrate-lock does not change them. A migration with IF NOT EXISTS does not build such an index again. What you can run: ' +
        'REINDEX INDEX CONCURRENTLY app.mail or DROP INDEX CONCURRENTLY app.mail; DROP INDEX CONCURRENTLY app.mail_ccnew; ' +
        "COMMIT PREPARED 'x' or ROLLBACK PREPARED 'x'.",
    ],
    [
      {
        event: 'tool.locked',
        locks: [
          { tool: 'knex', schema: 'app', table: 'knex_migrations_lock', recover: 'npx knex migrate:unlock' },
          { tool: 'prisma', schema: 'public', table: '_prisma_migrations', recover: 'prisma' },
        ],
      },
      'warn',
      'a lock of the migration tool itself may be the reason: app.knex_migrations_lock is taken (knex), public._prisma_migrations has an ' +
        'unfinished migration (prisma)',
      "If nothing else runs that tool, let the next run recover: --recover 'npx knex migrate:unlock', or --recover 'prisma'.",
    ],
    [
      { event: 'lock.inherited', holder: 'x', expiresAt },
      'info',
      'running under the lease of x, inside its command',
    ],
    [{ event: 'error', code: 'X', message: 'wrong', hint: 'right' }, 'bad', 'wrong', 'right'],
    [
      { event: 'error', code: 'DATABASE_REFUSED', message: 'no such database', hint: 'Create it.' },
      'bad',
      'no such database',
      'Create it. `migrate-lock doctor` checks the whole setup.',
    ],
  ];
  test.each(rows.map(([event, tone, text, hint]) => ({ event, tone, text, hint })))('$text', (row) => {
    const { tone, text, hint } = row;
    expect(describeEvent(event(row.event))).toEqual({
      tone,
      text,
      ...(hint === undefined ? {} : { hint }),
    });
  });

  test('returns nothing for the end of a run', () => {
    expect(
      describeEvent(event({ event: 'run.finished', outcome: 'completed', exitCode: 0, durationMs: 1 })),
    ).toBeNull();
  });

  test("shortens the holder's command", () => {
    const message = describeEvent(
      event({ event: 'lock.waiting', ...holder, holderCommand: 'x'.repeat(500), waitedMs: 0 }),
    );
    expect(message?.text).toContain(`(${'x'.repeat(79)}…)`);
  });
});

describe('formatError', () => {
  test.each([
    [new UsageError('wrong', 'do this'), 'wrong', 'do this'],
    [
      new MigrateLockError('no', { code: 'INTERNAL', exit: 'lost', hint: 'look', cause: new Error('why') }),
      'no',
      'look',
    ],
    [new TypeError('x is undefined'), 'internal error: x is undefined', 'report'],
    [new TypeError(''), 'internal error: TypeError', 'report'],
    ['text', 'internal error: text', 'report'],
    [undefined, 'internal error: undefined', 'report'],
  ])('%p', (error, text, hint) => {
    const shown = formatError(error);
    expect(shown.text).toBe(text);
    expect(shown.hint).toContain(hint);
    expect(JSON.stringify(shown)).not.toContain('    at ');
  });
});
