import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { LockCalls } from '../../../src/lock/calls.js';
import { createDatabase, serverUrl } from '../../support/database.js';
import { openDatabase, openLock, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { startWire } from '../../support/wire.js';
import { call, openStage, poll, sqlState, type Stage } from './stage.js';

/** Attacks on waiters: with waiters that do not exist, with notifications, with known keys. */

let stage: Stage;
let holder: LockCalls;

beforeAll(async () => {
  stage = await openStage({ attemptsPerSecond: 100_000 });
  holder = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
});
beforeEach(async () => {
  await stage.db.sql`UPDATE migrate_lock.migration_lock SET released_at = now() WHERE released_at IS NULL`;
  await stage.db.sql`DELETE FROM migrate_lock.migration_lock_waiter`;
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  holder.database.disconnect();
  await stage.close();
});

const waiters = async () => {
  const [row] = await stage.db.sql<{ n: number; longestMs: number | null }[]>`
    SELECT count(*)::int AS n, (extract(epoch FROM max(counts_until) - clock_timestamp()) * 1000)::float8 AS "longestMs"
      FROM migrate_lock.migration_lock_waiter`;
  return row ?? { n: 0, longestMs: null };
};

describe('waiters that do not exist', () => {
  test('every duration has a limit, and p_last NULL counts as false', async () => {
    await tryToAcquire(holder);
    const mallory = stage.as(stage.other);
    for (const p_poll_interval_ms of [0, -1, 2_147_483_648, '9223372036854775807', null])
      expect(await sqlState(poll(mallory, { p_poll_interval_ms }))).toBe('ML001');
    for (const p_ttl_ms of [0, -1, '9223372036854775807', null])
      expect(await sqlState(poll(mallory, { p_ttl_ms }))).toBe('ML001');
    for (const p_failure_memory_ms of [-1, '9223372036854775807'])
      expect(await sqlState(poll(mallory, { p_failure_memory_ms }))).toBe('ML001');
    expect(await waiters()).toEqual({ n: 0, longestMs: null });
    await poll(mallory, { p_poll_interval_ms: 2_147_483_647, p_last: null });
    const { n, longestMs } = await waiters();
    expect(n).toBe(1);
    expect(longestMs).toBeLessThanOrEqual(3_600_000);
  });

  test('1,500 of them: 1,000 count, cleanup clears them, and a real waiter gets its turn', async () => {
    const { me } = await tryToAcquire(holder, { ttlMs: 600_000 });
    const mallory = stage.as(stage.other);
    for (let n = 0; n < 1_500; n += 100)
      await Promise.all(
        Array.from({ length: 100 }, (_, at) =>
          // The first ones take all the places.
          poll(mallory, { p_poll_interval_ms: 2_147_483_647, p_listens: n + at < 10 }),
        ),
      );
    expect((await waiters()).n).toBe(1_000);

    const env = { DATABASE_URL: stage.app.url };
    const gaveUp = await runCli(['run', '--wait-timeout', '4s', '--', 'true'], { env });
    expect(gaveUp.code).toBe(75);
    const timeout = gaveUp.events.find(({ event }) => event === 'wait.timeout');
    expect((timeout as { waitedMs?: number } | undefined)?.waitedMs).toBeGreaterThanOrEqual(2_000);

    const honest = startCli(['run', '--wait-timeout', '30s', '--', 'true'], { env });
    await honest.waitForEvent('lock.waiting');
    const releasedAtMs = performance.now();
    await holder.release(me);
    expect((await honest.done).code).toBe(0);
    expect(performance.now() - releasedAtMs).toBeLessThan(5_000);

    await stage.db
      .sql`UPDATE migrate_lock.migration_lock_waiter SET counts_until = now() + interval '10 years'`;
    const { stderr } = await runCli(['cleanup'], { env, auditOnly: false });
    expect(stderr).toContain('1000 stale waiters');
    expect((await waiters()).n).toBe(0);
  }, 60_000);
});

test('notifications of other roles cause few polls of a listening waiter', async () => {
  const { me } = await tryToAcquire(holder, { ttlMs: 600_000 });
  const server = new URL(serverUrl());
  const wire = await startWire({ host: server.hostname, port: Number(server.port) });
  // A lone waiter's pace is slow by now.
  await stage.db.sql`UPDATE migrate_lock.migration_lock SET locked_at = locked_at - interval '10 minutes'`;
  const waiter = startCli(['run', '--poll-interval', '5s', '--', 'true'], {
    env: { DATABASE_URL: wire.through(stage.app.url) },
  });
  const { instanceId } = await waiter.waitForEvent('lock.waiting');
  const polls = () => wire.parameters().filter((parameter) => parameter === instanceId).length;
  const before = polls();
  const evil = stage.as(stage.stranger);
  let sent = 0;
  for (const endsAtMs = performance.now() + 9_000; performance.now() < endsAtMs; sent++)
    await evil.unsafe(`NOTIFY "migrate_lock", '${sent}'`);
  expect(sent).toBeGreaterThan(500);
  expect(polls() - before).toBeGreaterThan(0);
  expect(polls() - before).toBeLessThanOrEqual(14);
  // It still gets the notification of the release.
  const releasedAtMs = performance.now();
  await holder.release(me);
  expect((await waiter.done).code).toBe(0);
  expect(performance.now() - releasedAtMs).toBeLessThan(3_000);
  await wire.close();
}, 60_000);

test('advisory locks with known keys block nothing', async () => {
  const evil = stage.as(stage.stranger);
  await evil`SELECT pg_advisory_lock(hashtextextended('migrate-lock schema ' || name, 0))
               FROM unnest(ARRAY ['migrate_lock', '"migrate_lock"', 'another_lock', '"another_lock"']) AS name`;
  await evil`SELECT pg_advisory_lock(1835493228)`;
  await evil`SELECT pg_advisory_lock(1835493228 + part, n) FROM generate_series(0, 1) AS part, generate_series(0, 500) AS n`;
  await evil`
    SELECT pg_advisory_lock(1835493229, hashtext(concat_ws(' ', kind, role, address)))
      FROM unnest(ARRAY ['attempt', 'release', 'extend', 'unlock']) AS kind,
           unnest(ARRAY [${stage.app.name}, ${stage.other.name}, ${stage.owner.name}]) AS role,
           unnest(ARRAY ['127.0.0.1', '']) AS address`;
  const cli = (args: string[], url: string) => runCli(args, { env: { DATABASE_URL: url }, auditOnly: false });
  const startedAtMs = performance.now();
  expect((await cli(['init', '--schema', 'another_lock'], stage.owner.url)).code).toBe(0);
  expect((await cli(['init', '--grant-to', stage.other.name], stage.owner.url)).code).toBe(0);
  expect((await cli(['run', '--', 'true'], stage.app.url)).code).toBe(0);
  expect((await cli(['cleanup'], stage.app.url)).code).toBe(0);
  expect(performance.now() - startedAtMs).toBeLessThan(15_000);
  // Refusals are still recorded, and assert_held() still blocks a takeover.
  const { me, answer } = await tryToAcquire(holder);
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  const forged = { p_instance_id: me.instanceId, p_secret: 'guess', p_ttl_ms: 1_000 };
  expect(await call(stage.as(stage.other), 'extend', forged)).toEqual({ outcome: 'refused' });
  expect(
    await stage.db.sql`SELECT FROM migrate_lock.migration_lock_audit WHERE event = 'lease.extend_refused'`,
  ).toHaveLength(1);
  const kid = stage.as(stage.child);
  await kid`BEGIN`;
  await kid`SELECT migrate_lock.assert_held(${me.instanceId}, ${answer.lease.fencingToken})`;
  await stage.db.sql`UPDATE migrate_lock.migration_lock SET expires_at = clock_timestamp()`;
  expect((await poll(stage.as(stage.other), { p_orphans: 'wait', p_last: true })).outcome).toBe('held');
  await kid`COMMIT`;
});

describe('without child roles, a session of another role with the name of the lease', () => {
  test('counts as an orphan until child roles are named, and the error names its role', async () => {
    const db = await createDatabase();
    const [owner, kid, evil] = [await db.createRole(), await db.createRole(), await db.createRole()];
    await db.sql.unsafe(
      `GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}; GRANT pg_read_all_stats TO ${owner.name}`,
    );
    const lock = await openLock(owner.url);
    const { me } = await tryToAcquire(lock);
    await stage.as(evil, `migrate-lock:${me.instanceId}`)`SELECT 1`;
    expect(await lock.release(me)).toMatchObject({
      outcome: 'orphans',
      denied: 1,
      sessions: [{ role: evil.name, client: '127.0.0.1', pid: expect.any(Number) }],
    });
    // The next run reports it, and how to end it.
    await db.sql`UPDATE migrate_lock.migration_lock SET locked_at = now() - interval '1 h', expires_at = now() - interval '1 s'`;
    const next = await runCli(['run', '--wait-timeout', '2s', '--', 'true'], {
      env: { DATABASE_URL: owner.url },
    });
    expect(next.code).toBe(75);
    expect(next.stderr).toContain(evil.name);
    expect(next.stderr).toContain('127.0.0.1');
    expect(next.stderr).toContain('pg_terminate_backend');
    // With child roles, only those count.
    const init = await runCli(['init', '--child-role', kid.name], {
      env: { DATABASE_URL: owner.url },
      auditOnly: false,
    });
    expect(init.code).toBe(0);
    expect((await runCli(['run', '--', 'true'], { env: { DATABASE_URL: owner.url } })).code).toBe(0);
    const again = await tryToAcquire(lock);
    await stage.as(kid, `migrate-lock:${again.me.instanceId}`)`SELECT 1`;
    await stage.as(evil, `migrate-lock:${again.me.instanceId}`)`SELECT 1`;
    const released = await lock.release(again.me);
    expect(released).toMatchObject({ outcome: 'orphans', sessions: [{ role: kid.name }] });
    lock.database.disconnect();
    await db.drop();
  }, 60_000);
});
