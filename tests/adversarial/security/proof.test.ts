import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity, type Identity } from '../../../src/lock/lease.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { call, openStage, poll, release, sqlState, type Stage } from './stage.js';

/** A lease, a waiter, and rows about them belong to their instance: its secret and its role prove that. */

let stage: Stage;
let lock: LockCalls;
let app: postgres.Sql;
let mallory: postgres.Sql;

beforeAll(async () => {
  stage = await openStage();
  lock = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
  [app, mallory] = [stage.as(stage.app), stage.as(stage.other)];
});
beforeEach(async () => {
  await stage.db.sql`UPDATE migrate_lock.migration_lock SET released_at = now() WHERE released_at IS NULL`;
  await stage.db.sql`DELETE FROM migrate_lock.migration_lock_client`;
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  lock.database.disconnect();
  await stage.close();
});

async function acquired(): Promise<Identity> {
  const { me, answer } = await tryToAcquire(lock);
  expect(answer.outcome).toBe('acquired');
  return me;
}

const rowsAbout = (instanceId: string) =>
  stage.db.sql<{ event: string; db_role: string }[]>`
    SELECT event, db_role FROM migrate_lock.migration_lock_audit WHERE instance_id = ${instanceId} ORDER BY id`;

describe('the secret of a lease, which another role read in a server log', () => {
  test('cannot release, extend, leave or acquire', async () => {
    const { instanceId, secret } = await acquired();
    const extend = { p_instance_id: instanceId, p_secret: secret, p_ttl_ms: 3_600_000 };
    expect(await release(mallory, instanceId, secret)).toEqual({ outcome: 'refused' });
    expect(await call(mallory, 'extend', extend)).toEqual({ outcome: 'refused' });
    expect(await call(mallory, 'leave', { p_instance_id: instanceId, p_secret: secret })).toEqual({
      outcome: 'left',
    });
    expect(await poll(mallory, { p_instance_id: instanceId, p_secret: secret, p_last: true })).toMatchObject({
      outcome: 'held',
      holder: { instanceId },
    });
    // Neither as the owner, nor as a child role.
    expect(await release(stage.as(stage.owner), instanceId, secret)).toEqual({ outcome: 'refused' });
    expect(await sqlState(release(stage.as(stage.child), instanceId, secret))).toBe('42501');
    expect(await call(app, 'extend', extend)).toMatchObject({ outcome: 'extended' });
    expect(await release(app, instanceId, secret)).toMatchObject({ outcome: 'released' });
  });

  test('cannot remove a waiter from the queue, and writes no row about it', async () => {
    const holder = await acquired();
    const waiter = { p_instance_id: newIdentity().instanceId, p_secret: 'known' };
    await poll(app, waiter);
    await poll(mallory, { ...waiter, p_last: true });
    await call(mallory, 'leave', waiter);
    expect(await rowsAbout(waiter.p_instance_id)).toEqual([]);
    expect((await lock.status()).waiters).toMatchObject([{ instanceId: waiter.p_instance_id }]);
    await poll(app, { ...waiter, p_last: true });
    expect(await rowsAbout(waiter.p_instance_id)).toEqual([
      { event: 'wait.timeout', db_role: stage.app.name },
    ]);
    await lock.release(holder);
  });
});

test('an open transaction that releases an ended lease blocks no other role', async () => {
  const mine = newIdentity();
  expect(await poll(mallory, { p_instance_id: mine.instanceId, p_secret: mine.secret })).toMatchObject({
    outcome: 'acquired',
  });
  expect(await release(mallory, mine.instanceId, mine.secret)).toMatchObject({ outcome: 'released' });
  const me = await acquired();
  await mallory.unsafe('BEGIN');
  expect(await release(mallory, mine.instanceId, mine.secret)).toMatchObject({ outcome: 'already_released' });
  const extension = { p_instance_id: me.instanceId, p_secret: me.secret, p_ttl_ms: 3_600_000 };
  expect(await call(app, 'extend', extension)).toMatchObject({ outcome: 'extended' });
  expect(await release(app, me.instanceId, me.secret)).toMatchObject({ outcome: 'released' });
  await mallory.unsafe('ROLLBACK');
});

describe('without the secret', () => {
  test("a release of app's old lease is a refused attempt of mallory, not a lost lease", async () => {
    const old = await acquired();
    await stage.db
      .sql`UPDATE migrate_lock.migration_lock SET locked_at = now() - interval '2 h', expires_at = now() - interval '1 h'`;
    const next = await acquired();
    const before = [...(await rowsAbout(old.instanceId))];
    expect(await release(mallory, old.instanceId, 'guess')).toMatchObject({ outcome: 'lost' });
    expect(await rowsAbout(old.instanceId)).toEqual(before);
    const [told] = await stage.db.sql`
      SELECT event, instance_id, details FROM migrate_lock.migration_lock_audit WHERE db_role = ${stage.other.name}
       ORDER BY id DESC LIMIT 1`;
    expect(told).toMatchObject({
      event: 'lock.release_failed',
      instance_id: null,
      details: { namedInstanceId: old.instanceId },
    });
    // A loss reported by its holder is.
    expect(await lock.release(old)).toMatchObject({ outcome: 'lost' });
    expect((await rowsAbout(old.instanceId)).at(-1)).toEqual({ event: 'lock.lost', db_role: stage.app.name });
    await lock.release(next);
  });

  test('a waiter is not announced under the id of a lease or of a waiter of app', async () => {
    const old = await acquired();
    await lock.release(old);
    const { instanceId } = await acquired();
    const waiter = newIdentity().instanceId;
    await poll(app, { p_instance_id: waiter });
    for (const p_instance_id of [old.instanceId, instanceId, waiter]) {
      const before = [...(await rowsAbout(p_instance_id))];
      await poll(mallory, { p_instance_id });
      await poll(mallory, { p_instance_id, p_last: true });
      expect(await rowsAbout(p_instance_id)).toEqual(before);
    }
    expect((await lock.status()).waiters).toMatchObject([{ instanceId: waiter, dbRole: stage.app.name }]);
    await call(app, 'leave', { p_instance_id: waiter, p_secret: 's' });
  });

  test("an open transaction of mallory blocks neither app's waiter, nor its extension, nor its release", async () => {
    const me = await acquired();
    const waiter = newIdentity().instanceId;
    await poll(app, { p_instance_id: waiter });
    await mallory`BEGIN`;
    await poll(mallory, { p_instance_id: waiter });
    await release(mallory, me.instanceId, 'guess');
    await release(mallory, waiter, 'guess');
    await call(mallory, 'extend', { p_instance_id: me.instanceId, p_secret: 'guess', p_ttl_ms: 1_000 });
    await call(mallory, 'leave', { p_instance_id: me.instanceId, p_secret: 'guess' });
    await app`SET statement_timeout = '1s'`;
    await poll(app, { p_instance_id: waiter, p_poll_interval_ms: 100_000 });
    expect(await lock.extend(me, 60_000)).toMatchObject({ outcome: 'extended' });
    await call(app, 'leave', { p_instance_id: waiter, p_secret: 's' });
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    await mallory`ROLLBACK`;
    await app`RESET statement_timeout`;
  });
});

test("a release without a secret during app's run is refused", async () => {
  const env = { DATABASE_URL: stage.app.url };
  const cli = startCli(['run', '--', 'sleep', '1000'], { env });
  const { instanceId } = await cli.waitForEvent('child.started');
  for (const p_orphans of ['terminate', 'ignore', 'wait', 'list'])
    expect(await sqlState(release(mallory, instanceId, null as unknown as string, { p_orphans }))).toBe(
      'ML001',
    );
  expect(await lock.status()).toMatchObject({ state: 'held', lease: { instanceId } });
  const next = await runCli(['run', '--wait-timeout', '0', '--', 'true'], {
    env: { DATABASE_URL: stage.other.url },
  });
  expect(next.code).toBe(75);
  cli.kill('SIGTERM');
  const { events } = await cli.done;
  expect(events.map(({ event }) => event)).toContain('lock.released');
});
