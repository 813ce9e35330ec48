import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import type { Caller } from './calls.js';
import { request, someone } from './overlap.js';
import { applyModelSchema, RealLock } from './real-lock.js';

const START_US = 1e12;
/** How long a waiter counts that polls as often as request() says. */
const COUNTS_FOR_US = 15e6;

let db: TestDatabase;
let lock: RealLock;
let other: RealLock;
let waiter: Caller;

beforeAll(async () => {
  db = await createDatabase();
  const role = await db.createRole();
  await applyModelSchema(db.url, 'migrate_lock', { role: role.name });
  lock = new RealLock(db.url, 'migrate_lock');
  other = new RealLock(role.url, 'migrate_lock');
});
beforeEach(async () => {
  await lock.startOver();
  await lock.setClock(START_US);
  await lock.poll(someone(), request(3_600_000));
  waiter = someone();
  await lock.poll(waiter, request(1000));
  await other.begin();
});
afterEach(() => other.finish('ROLLBACK'));
afterAll(async () => {
  await Promise.all([lock.end(), other.end()]);
  await db.drop();
});

test("an open transaction of another role that names a waiter does not block the waiter's announcement", async () => {
  const now = START_US + 0.6 * COUNTS_FOR_US;
  await lock.setClock(now);
  await other.poll({ ...waiter, secret: 'a guess' }, request(1000));
  expect(await lock.poll(waiter, request(1000))).toMatchObject({ outcome: 'held', queueLength: 1 });
  const { waiters } = (await lock.observe()).tables;
  expect(waiters[waiter.instanceId]).toMatchObject({ countsUntil: now + COUNTS_FOR_US });
});

test('an open transaction of another role that removes an expired waiter does not block its announcement', async () => {
  await lock.setClock(START_US + 2 * COUNTS_FOR_US);
  await other.cleanup();
  expect(await lock.poll(waiter, request(1000))).toMatchObject({ outcome: 'held', queueLength: 1 });
});

test('where connections are few, a waiter counts until its next poll, however late that is', async () => {
  const others = 100;
  const longestPauseUs = 300_000 * (others + 1);
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_waiter
      (instance_id, secret_sha256, arrived_at, counts_until, db_role, listens)
    SELECT 'other ' || n, sha256('other'), arrived_at, counts_until + interval '1 hour', 'web', false
      FROM migrate_lock.migration_lock_waiter, generate_series(1, ${others}) AS n`;
  let now = START_US + 0.6 * COUNTS_FOR_US;
  for (const pauseUs of [0, 0.99 * longestPauseUs, longestPauseUs]) {
    now += pauseUs;
    await lock.setClock(now);
    const { waiters } = (await lock.observe()).tables;
    expect(waiters[waiter.instanceId]?.countsUntil).toBeGreaterThan(now);
    await lock.poll(waiter, request(1000));
  }
});
