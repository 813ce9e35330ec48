import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { MigrationLock } from '../../../src/index.js';
import { applicationName } from '../../../src/lock/lease.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { DROPS_SETTINGS, hasPooler, startPooler, type Pooler } from '../../support/pooler.js';
import { childrenOf, endProcess } from '../../support/processes.js';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let pooler: Pooler;
let clients: postgres.Sql[] = [];

/** A client of the pooler; without a name it inherits that of the session that it gets. */
function client(name = ''): postgres.Sql {
  const made = postgres(pooler.through(db.url), {
    max: 1,
    fetch_types: false,
    onnotice: () => undefined,
    connection: { application_name: name },
  });
  clients.push(made);
  return made;
}

function start(args: string[]) {
  return startCli(['run', ...args], { env: { DATABASE_URL: pooler.through(db.url) } });
}

/**
 * The command's clients connect, use three server sessions, and disconnect.
 * @returns the sessions.
 */
async function useSessions(instanceId: string): Promise<number[]> {
  const workers = [1, 2, 3].map(() => client(applicationName(instanceId)));
  const rows = await Promise.all(workers.map((sql) => sql`SELECT pg_backend_pid() AS pid, pg_sleep(0.3)`));
  await Promise.all(workers.map((sql) => sql.end()));
  const pids = rows.map(([row]) => Number(row?.pid));
  expect(new Set(pids).size).toBe(3);
  return pids;
}

/** Another client in a transaction, on a session that still has the lease's name. */
async function strangerAtWork(instanceId: string, pids: number[]): Promise<postgres.Sql> {
  const stranger = client();
  await stranger`BEGIN`;
  const [row] = await stranger`SELECT pg_backend_pid() AS pid, current_setting('application_name') AS name`;
  expect(row?.name).toBe(applicationName(instanceId));
  expect(pids).toContain(row?.pid);
  return stranger;
}

async function expectConnected(pids: number[]): Promise<void> {
  expect(await db.sql`SELECT FROM pg_stat_activity WHERE pid = ANY (${pids})`).toHaveLength(pids.length);
}

async function isFree(): Promise<boolean> {
  const [row] = await db.sql`SELECT released_at IS NOT NULL AS free FROM migrate_lock.migration_lock`;
  return row?.free === true;
}

(hasPooler ? describe : describe.skip).each([
  ['refuses start-up parameters', {}],
  ['drops them silently', DROPS_SETTINGS],
])('behind a pooler that %s, a client that inherits the session name is not ended', (_, settings) => {
  beforeAll(async () => {
    db = await createDatabase();
    pooler = await startPooler(serverUrl(), { settings });
  });
  beforeEach(async () => {
    // A session that is older than the lease is never ended, so each test starts with new ones.
    const others = () => db.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = ${db.name} AND application_name <> 'postgres.js' AND backend_type = 'client backend'`;
    await waitFor('the pool is empty', async () => (await others()).length === 0);
  });
  afterEach(async () => {
    await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
    clients = [];
    await assertNothingLeft();
    await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  });
  afterAll(async () => {
    await pooler.stop();
    await db.drop();
  });

  test('by the release, which waits for its transaction', async () => {
    const holder = start(['--', 'sleep', '1000']);
    const { instanceId } = await holder.waitForEvent('child.started');
    const pids = await useSessions(instanceId);
    const stranger = await strangerAtWork(instanceId, pids);
    holder.kill('SIGTERM');
    await holder.waitForEvent('child.exited');
    await stranger`SELECT pg_sleep(0.5)`;
    expect(holder.events().map(({ event }) => event)).not.toContain('lock.released');
    await stranger`COMMIT`;
    const { code, events } = await holder.done;
    expect(code).toBe(143);
    expect(events.map(({ event }) => event)).toContain('lock.released');
    await expectConnected(pids);
  });

  test('by the guard, when the holder was killed', async () => {
    const holder = start(['--ttl', '10m', '--', 'sleep', '1000']);
    const { instanceId } = await holder.waitForEvent('child.started');
    const pids = await useSessions(instanceId);
    const stranger = await strangerAtWork(instanceId, pids);
    holder.kill('SIGKILL');
    await stranger`SELECT pg_sleep(1)`;
    expect(await isFree()).toBe(false);
    await stranger`COMMIT`;
    await waitFor('the release', isFree);
    await expectConnected(pids);
  });

  test('by a takeover', async () => {
    const holder = start(['--ttl', '4s', '--kill-grace', '100ms', '--', 'sleep', '1000']);
    const { instanceId } = await holder.waitForEvent('child.started');
    const pids = await useSessions(instanceId);
    holder.kill('SIGSTOP'); // otherwise it would replace its guard
    for (const pid of childrenOf(holder.pid)) await endProcess(pid);
    holder.kill('SIGKILL');
    await holder.done;
    const stranger = await strangerAtWork(instanceId, pids);
    const next = start(['--', 'true']);
    await waitFor('the end of the lease', async () => {
      return (
        (await db.sql`SELECT FROM migrate_lock.migration_lock WHERE expires_at < clock_timestamp()`).length >
        0
      );
    });
    await stranger`SELECT pg_sleep(1.5)`;
    expect(next.events().map(({ event }) => event)).not.toContain('lock.acquired');
    await stranger`COMMIT`;
    const { code, events } = await next.done;
    expect(code).toBe(0);
    expect(events.find(({ event }) => event === 'lock.takeover')).toMatchObject({
      previousInstanceId: instanceId,
      sessionsEnded: 0,
    });
    await expectConnected(pids);
  });

  test.each(['a URL', 'a postgres.js instance'])('by the library, on %s', async (kind) => {
    const sql = client('the application');
    const lock = new MigrationLock({ connection: kind === 'a URL' ? pooler.through(db.url) : sql });
    expect(await lock.acquire()).toBe(true);
    const pids = await useSessions(lock.instanceId);
    expect(await lock.release()).toBe(true);
    await expectConnected(pids);
  });

  test('while a statement of the command, on a session older than the lease, is waited for', async () => {
    await useSessions('somebody else');
    const lock = new MigrationLock({ connection: pooler.through(db.url), ttlMs: 60_000 });
    await lock.acquire();
    const worker = client(applicationName(lock.instanceId));
    await worker`SELECT 1`;
    const running = worker`SELECT pg_sleep(1)`;
    running.catch(() => undefined);
    await waitFor('it runs', async () => {
      const name = applicationName(lock.instanceId);
      return (
        (await db.sql`SELECT FROM pg_stat_activity WHERE application_name = ${name} AND state = 'active'`)
          .length === 1
      );
    });
    const releasing = lock.release();
    expect(await Promise.race([releasing, running.then(() => 'the statement ended first')])).toBe(
      'the statement ended first',
    );
    expect(await releasing).toBe(true);
  });
});
