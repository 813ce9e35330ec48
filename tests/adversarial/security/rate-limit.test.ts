import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { runCli } from '../../support/run-cli.js';
import { openStage, poll, type Answer, type Stage } from './stage.js';

const RATE = 10;
/** The attempts that a client may make in advance. */
const BURST = 10 * RATE;

let stage: Stage;

beforeAll(async () => {
  stage = await openStage({ attemptsPerSecond: RATE });
});
beforeEach(async () => {
  await stage.db.sql`DELETE FROM migrate_lock.migration_lock_client`;
  await stage.db.sql`DELETE FROM migrate_lock.migration_lock`;
  // As if every role had been silent for long.
  await stage.db.sql`
    SELECT setval(attempts, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FROM migrate_lock.migration_lock_role`;
});
afterAll(() => stage.close());

/** One attempt that leaves no waiter behind. */
const attempt = (sql: postgres.Sql) => poll(sql, { p_last: true });

/** So many that one of them is charged to the client, with the cost of all. */
async function charged(sql: postgres.Sql): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let n = 0; n < RATE; n++) answers.push(await attempt(sql));
  return answers;
}

/** Attempts one after the other until one is refused. */
async function untilRefused(sql: postgres.Sql): Promise<{ attempts: number; refused: Answer }> {
  for (let attempts = 0; ; attempts++) {
    const answer = await attempt(sql);
    if (answer.retryAfterMs !== undefined) return { attempts, refused: answer };
    if (attempts > 100 * BURST) throw new Error('it is never refused');
  }
}

/** As if a client, with others, had made so many attempts over its limit. */
async function behind(role: string, address: string, seconds: number): Promise<void> {
  await stage.db.sql`
    INSERT INTO migrate_lock.migration_lock_client (kind, db_role, address, next_at, counted_at)
    VALUES ('attempt', ${role}, ${address}, clock_timestamp() + ${seconds} * interval '1 second', clock_timestamp())
    ON CONFLICT (kind, db_role, address) DO UPDATE SET next_at = excluded.next_at`;
}

test('attempts from many addresses of one role cost another role no more than ten addresses of its own do', async () => {
  for (let host = 1; host <= 60; host++) await behind(stage.other.name, `10.0.0.${host}`, 60);
  const app = stage.as(stage.app);
  const startedAtMs = performance.now();
  // The second charge comes before the first is paid: the others' attempts make it more expensive.
  await charged(app);
  await charged(app);
  const [row] = await stage.db.sql<{ ahead: number }[]>`
    SELECT extract(epoch FROM next_at - clock_timestamp())::float AS ahead
      FROM migrate_lock.migration_lock_client WHERE kind = 'attempt' AND db_role = ${stage.app.name}`;
  expect(row?.ahead).toBeLessThan(1 + 11 / 5);
  expect(row?.ahead).toBeGreaterThan(1 - (performance.now() - startedAtMs) / 1_000);
});

test('a client may make ten seconds of attempts in advance, and is then told when to come back', async () => {
  const app = stage.as(stage.app);
  const startedAtMs = performance.now();
  expect((await attempt(app)).outcome).toBe('acquired');
  const { attempts, refused } = await untilRefused(app);
  expect(attempts).toBeGreaterThanOrEqual(BURST - 1);
  expect(attempts).toBeLessThanOrEqual(BURST + RATE * (2 + (performance.now() - startedAtMs) / 1_000));
  expect(refused).toMatchObject({ outcome: 'held', holder: null });
  expect(refused.retryAfterMs).toBeGreaterThan(0);
  // A charge is for the attempts of a whole second.
  expect(refused.retryAfterMs).toBeLessThanOrEqual(1_000);
});

test('an attempt over the limit does not lock the row, even when the lock is free', async () => {
  const app = stage.as(stage.app);
  await behind(stage.app.name, '127.0.0.1', 15);
  const answer = await attempt(app);
  expect(answer.outcome).toBe('held');
  expect(answer.retryAfterMs).toBeGreaterThan(4_000);
  expect(await stage.db.sql`SELECT FROM migrate_lock.migration_lock`).toHaveLength(0);
});

test("one role's attempts do not count for another role at the same address", async () => {
  await untilRefused(stage.as(stage.app));
  expect((await attempt(stage.as(stage.other))).retryAfterMs).toBeUndefined();
});

test('the history records one row a second of it', async () => {
  const app = stage.as(stage.app);
  await behind(stage.app.name, '127.0.0.1', 15);
  await stage.db.sql`INSERT INTO migrate_lock.migration_lock_audit (event) VALUES ('the test begins')`;
  for (let n = 0; n < 5; n++) await attempt(app);
  const [told] = await stage.db.sql<{ n: number; most: number }[]>`
    SELECT count(*)::int AS n, ceil(extract(epoch FROM max(at) - min(at)))::int + 1 AS most
      FROM migrate_lock.migration_lock_audit
     WHERE event = 'lock.rate_limited' AND id > (
           SELECT max(id) FROM migrate_lock.migration_lock_audit WHERE event = 'the test begins')`;
  expect(told?.n).toBeGreaterThan(0);
  expect(told?.n).toBeLessThanOrEqual(told?.most ?? 0);
});

describe('the limit of the whole lock', () => {
  /** The cost of a second's attempts to a client over its limit, in seconds. */
  async function cost(): Promise<number> {
    const app = stage.as(stage.app);
    const due = async () => {
      const [row] = await stage.db.sql<{ at: number }[]>`
        SELECT extract(epoch FROM next_at)::float8 AS at FROM migrate_lock.migration_lock_client
         WHERE db_role = ${stage.app.name}`;
      return row?.at ?? 0;
    };
    await behind(stage.app.name, '127.0.0.1', 5);
    const before = await due();
    await charged(app);
    return (await due()) - before;
  }

  test('leaves up to five clients their own rate; more share the rate of five evenly', async () => {
    expect(await cost()).toBeCloseTo(1, 3);
    for (let n = 1; n < 5; n++) await behind('abuser', `10.0.0.${n}`, 9);
    expect(await cost()).toBeCloseTo(1, 3);
    for (let n = 5; n < 50; n++) await behind(`abuser ${n}`, `10.0.0.${n}`, 9);
    expect(await cost()).toBeCloseTo(50 / 5, 3);
  });

  test('always serves a client that stays within its share', async () => {
    for (let n = 0; n < 500; n++) await behind('abuser', `10.0.${n}`, 10);
    const app = stage.as(stage.app);
    expect((await attempt(app)).outcome).toBe('acquired');
    for (const { retryAfterMs } of await charged(app)) expect(retryAfterMs).toBeUndefined();
  });
});

test.each([true, false])(
  'no client waits for an attempt that is stopped in its transaction, known before: %s',
  async (isKnown) => {
    const [hanging, next] = [stage.as(stage.app), stage.as(stage.app)];
    const p_instance_id = `holder ${isKnown}`;
    await poll(stage.as(stage.other), { p_instance_id });
    if (isKnown) await behind(stage.app.name, '127.0.0.1', 1);
    await hanging`BEGIN`;
    await charged(hanging);
    await next`SET statement_timeout = '1s'`;
    for (const answer of await charged(next))
      expect(answer).toMatchObject({ outcome: 'held', holder: { instanceId: p_instance_id } });
    await hanging`ROLLBACK`;
  },
);

test('a client far over its limit cannot avoid it by using two connections at once', async () => {
  const [hanging, next] = [stage.as(stage.app), stage.as(stage.app)];
  await poll(stage.as(stage.other), { p_instance_id: 'another' });
  for (const [seconds, refused] of [
    [4, []],
    [6, [100]],
  ] as const) {
    await behind(stage.app.name, '127.0.0.1', seconds);
    await hanging`BEGIN`;
    await charged(hanging);
    const told = (await charged(next)).map(({ retryAfterMs }) => retryAfterMs);
    expect(told.filter((retryAfterMs) => retryAfterMs !== undefined)).toEqual(refused);
    await hanging`ROLLBACK`;
  }
});

test('an attempt that is rolled back, or stopped in a transaction, still counts for the role', async () => {
  const app = stage.as(stage.app);
  await poll(stage.as(stage.other), { p_instance_id: 'long', p_ttl_ms: 600_000 });
  const attemptAndRollBack = `BEGIN; SELECT migrate_lock.poll(
    1, md5(random()::text), 's', 60000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'terminate', NULL, 1000, true, false) AS answer; ROLLBACK`;
  let refused = false;
  // All addresses of a role together may make ten times the attempts of one.
  for (let attempts = 0; !refused && attempts < 10 * 10 * BURST; attempts += 100) {
    const answers = Array.from({ length: 100 }, () => app.unsafe(attemptAndRollBack));
    refused = JSON.stringify(await Promise.all(answers)).includes('retryAfterMs');
  }
  expect(refused).toBe(true);
  expect(
    await stage.db.sql`SELECT FROM migrate_lock.migration_lock_client WHERE db_role = ${stage.app.name}`,
  ).toHaveLength(0);
  // Another role has its own sequence.
  expect((await attempt(stage.as(stage.other))).retryAfterMs).toBeUndefined();
});

test('after the clock steps back, attempts counted in the future do not count', async () => {
  await stage.db.sql`
    INSERT INTO migrate_lock.migration_lock_client (kind, db_role, address, next_at, counted_at)
    VALUES ('attempt', ${stage.app.name}, '127.0.0.1', now() + interval '1 day', now() + interval '1 day')`;
  for (const { retryAfterMs } of await charged(stage.as(stage.app))) expect(retryAfterMs).toBeUndefined();
  const [client] = await stage.db.sql<{ isNear: boolean }[]>`
    SELECT greatest(next_at, counted_at) < now() + interval '1 minute' AS "isNear"
      FROM migrate_lock.migration_lock_client WHERE db_role = ${stage.app.name}`;
  expect(client).toEqual({ isNear: true });
});

describe('migrate-lock run', () => {
  test('waits until its rate allows, then runs', async () => {
    // About five seconds early: on a loaded machine, the start alone takes more than one.
    await behind(stage.app.name, '127.0.0.1', 15);
    const { code, events } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL: stage.app.url } });
    expect(code).toBe(0);
    expect(events.map(({ event }) => event).slice(0, 2)).toEqual(['lock.rate_limited', 'lock.acquired']);
  });

  test('exits with 75 when its wait timeout passes first', async () => {
    await behind(stage.app.name, '127.0.0.1', 30);
    const { code, events } = await runCli(['run', '--wait-timeout', '1s', '--', 'true'], {
      env: { DATABASE_URL: stage.app.url },
    });
    expect(code).toBe(75);
    expect(events.map(({ event }) => event)).toContain('wait.timeout');
  });
});
