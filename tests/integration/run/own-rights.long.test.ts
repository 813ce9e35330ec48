import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { applicationName } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { openDatabase, openLock, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const STUCK = new URL('../../support/fixtures/stuck-session.mjs', import.meta.url).pathname;

let db: TestDatabase;
let owner: TestRole;
let login: TestRole;
let clients: postgres.Sql[] = [];

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  [owner, login] = await Promise.all([db.createRole(), db.createRole()]);
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.end({ timeout: 1 })));
  clients = [];
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

/** A statement of a lease's command that continues in the server. */
async function stuckSession(instanceId: string, url: string): Promise<() => Promise<boolean>> {
  const connection = { application_name: applicationName(instanceId) };
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => undefined, connection });
  clients.push(sql);
  const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  sql`SELECT pg_sleep(1000)`.catch(() => undefined);
  return async () => (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${row?.pid ?? 0}`).length > 0;
}

async function expire(): Promise<void> {
  await db.sql`
    UPDATE migrate_lock.migration_lock
       SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp() - interval '1 second'`;
}

async function hold(url: string): Promise<{ instanceId: string; lives: () => Promise<boolean> }> {
  const lock = await openLock(url);
  const { me, answer } = await tryToAcquire(lock);
  lock.database.disconnect();
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  return { instanceId: me.instanceId, lives: await stuckSession(me.instanceId, url) };
}

describe.each(['ALTER ROLE ... SET role', 'options=-c role='])(
  "a login that acts as the lock's owner, who may not end its sessions (%s)",
  (how) => {
    let url: string;

    beforeEach(async () => {
      await db.sql.unsafe(`GRANT ${owner.name} TO ${login.name}`);
      if (how.startsWith('ALTER')) await db.sql.unsafe(`ALTER ROLE ${login.name} SET role = '${owner.name}'`);
      url = how.startsWith('ALTER') ? login.url : `${login.url}?options=-c%20role%3D${owner.name}`;
    });
    const cli = (...args: string[]) => runCli(args, { env: { DATABASE_URL: url }, auditOnly: false });

    test('a run ends the sessions that its killed command left, and releases', async () => {
      const args = ['run', '--ttl', '3s', '--kill-grace', '100ms', '--', process.execPath, STUCK];
      const { events } = await runCli(args, { env: { DATABASE_URL: url } });
      expect(events.map(({ event }) => event)).toContain('child.deadline');
      expect(events.at(-2)).toMatchObject({ event: 'lock.released' });
      const [row] = await db.sql`
        SELECT nspowner::regrole::text AS owner FROM pg_namespace WHERE nspname = 'migrate_lock'`;
      expect(row?.owner).toBe(owner.name);
      const left = await db.sql`
        SELECT FROM pg_stat_activity WHERE datname = ${db.name} AND usename = ${login.name}`;
      expect(left).toHaveLength(0);
    });

    test('a takeover ends them', async () => {
      const { lives } = await hold(url);
      await expire();
      expect(await cli('run', '--', 'true')).toMatchObject({ code: 0 });
      expect(await lives()).toBe(false);
    });

    test('unlock ends them', async () => {
      const { instanceId, lives } = await hold(url);
      expect(await cli('unlock', '--force', '--instance', instanceId)).toMatchObject({ code: 0 });
      expect(await lives()).toBe(false);
    });

    test('cleanup ends them', async () => {
      const { lives } = await hold(url);
      await expire();
      expect(await cli('cleanup')).toMatchObject({ code: 0 });
      expect(await lives()).toBe(false);
      expect(await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`).toHaveLength(0);
    });

    test('a session that called assert_held() is found by that', async () => {
      const lock = await openLock(url);
      const { me, answer } = await tryToAcquire(lock);
      if (answer.outcome !== 'acquired') throw new Error('not acquired');
      const migration = postgres(url, { max: 1, onnotice: () => undefined });
      clients.push(migration);
      await migration`BEGIN`;
      await migration`SELECT migrate_lock.assert_held(${me.instanceId}, ${answer.lease.fencingToken})`;
      await waitFor('the release', async () => (await lock.release(me)).outcome === 'released');
      lock.database.disconnect();
    });

    test('a session of the login with the name of another lease is not ended', async () => {
      const { lives } = await hold(url);
      const livesOn = await stuckSession('another', url);
      await expire();
      expect(await cli('run', '--', 'true')).toMatchObject({ code: 0 });
      expect(await lives()).toBe(false);
      expect(await livesOn()).toBe(true);
    });
  },
);

describe('an admitted role, whose sessions the owner may not end', () => {
  const open = async (): Promise<LockCalls> => {
    const admin = { env: { DATABASE_URL: owner.url }, auditOnly: false };
    await runCli(['init', '--grant-to', login.name], admin);
    return new LockCalls(openDatabase(login.url), 'migrate_lock');
  };

  test('ends the sessions of its own lease when it releases', async () => {
    const lock = await open();
    const { me } = await tryToAcquire(lock);
    const lives = await stuckSession(me.instanceId, login.url);
    expect(await lock.release(me)).toMatchObject({ outcome: 'orphans', denied: 0 });
    await waitFor('the release', async () => (await lock.release(me)).outcome === 'released');
    expect(await lives()).toBe(false);
    lock.database.disconnect();
  });

  test("ends no session that has only the lease's name: it may belong to another lock", async () => {
    const lock = await open();
    const { me } = await tryToAcquire(lock);
    const lives = await stuckSession(me.instanceId, login.url);
    await expire();
    for (let at = 0; at < 3; at++) {
      const { answer } = await tryToAcquire(lock);
      expect(answer).toMatchObject({ outcome: 'held', orphans: { denied: 1 } });
    }
    expect(await lives()).toBe(true);
    lock.database.disconnect();
  });

  test('another run that waits for its statement reports the role and the start', async () => {
    await db.sql.unsafe(`GRANT pg_read_all_stats TO ${owner.name}`);
    const other = await db.createRole();
    const lock = await open();
    await runCli(['init', '--grant-to', other.name], { env: { DATABASE_URL: owner.url }, auditOnly: false });
    const { me } = await tryToAcquire(lock);
    lock.database.disconnect();
    const lives = await stuckSession(me.instanceId, login.url);
    await expire();
    const run = startCli(['run', '--wait-timeout', '1m', '--', 'true'], { env: { DATABASE_URL: other.url } });
    const { sessions, denied, holder } = await run.waitForEvent('lock.orphans');
    expect(holder).toBe(me.instanceId);
    expect(denied).toBe(1);
    expect(sessions).toEqual([expect.objectContaining({ role: login.name, openMs: expect.any(Number) })]);
    await waitFor('the sentence', () => run.stderr().includes('pg_terminate_backend'));
    const [{ pid } = { pid: 0 }] = sessions;
    expect(run.stderr()).toMatch(
      new RegExp(
        `database sessions of it are still open: ${pid} \\(${login.name} at .*, in a transaction for `,
      ),
    );
    expect(run.stderr()).toContain(`SELECT pg_terminate_backend(${pid})`);
    expect(await lives()).toBe(true);
    await db.sql`SELECT pg_terminate_backend(${pid})`;
    expect(await run.done).toMatchObject({ code: 0 });
  });
});
