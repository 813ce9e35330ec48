/** The one read of the command's database sessions: at `lease.expiring`, before the deadline, and of a waiter that gives up. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { childTimes } from '../../../src/lock/lease-times.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { hasPooler, startPooler, type Pooler } from '../../support/pooler.js';
import { startRelay, type Relay } from '../../support/relay.js';
import { assertNothingLeft, startCli, type RunningCli } from '../../support/run-cli.js';

const TTL_MS = 5_000;
const HAS_MS = TTL_MS - childTimes(TTL_MS, 500).termBeforeEndMs;
const MIGRATION = "ALTER TABLE orders ADD COLUMN a text DEFAULT 'a secret'";
/** Connects by itself, not through the relay. */
const SCRIPT = `import postgres from 'postgres';
  await postgres(process.env.DIRECT_URL, { max: 1, fetch_types: false }).unsafe(process.env.MIGRATION);`;
const migrate = ['node', '--input-type=module', '-e', SCRIPT];

let db: TestDatabase;
let relay: Relay;
let pooler: Pooler | undefined;
/** What people read: PostgreSQL says since when a session waits from version 14 on. */
let waits: string;

beforeAll(async () => {
  db = await createDatabase();
  const [{ tellsSince } = {}] = await db.sql`
    SELECT current_setting('server_version_num')::integer >= 140000 AS "tellsSince"`;
  waits = tellsSince ? 'has waited \\S+' : 'waits';
  await db.sql`CREATE TABLE orders (id int)`;
  const server = new URL(serverUrl());
  relay = await startRelay({ host: server.hostname, port: Number(server.port) });
  // Applies the schema.
  expect((await start(['true']).done).code).toBe(0);
});
afterEach(async () => {
  relay.set('pass');
  await assertNothingLeft();
});
afterAll(async () => {
  await pooler?.stop();
  await relay.close();
  await db.drop();
});

function start(command: string[], url = relay.through(db.url), options: string[] = []): RunningCli {
  const times = ['--ttl', `${TTL_MS}ms`, '--kill-grace', '500ms'];
  return startCli(['run', ...times, ...options, '--', ...command], {
    env: { DATABASE_URL: url, DIRECT_URL: db.url, MIGRATION },
  });
}
/** Another session has the migration's table locked during `work`. */
async function blocked(work: () => Promise<void>): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`SET LOCAL application_name = 'web'`;
    await sql`LOCK TABLE orders`;
    await work();
  });
}

/** For how long the command was given time, and what it got, as the events' times say. */
async function timesOf(run: RunningCli): Promise<{ givenMs: number; gotMs: number }> {
  const started = await run.waitForEvent('child.started');
  const deadline = await run.waitForEvent('child.deadline');
  return { givenMs: started.deadlineMs, gotMs: Date.parse(deadline.time) - Date.parse(started.time) };
}

test('lease.expiring and child.deadline carry what the sessions wait for, and people read it', async () => {
  await blocked(async () => {
    const run = start(migrate);
    const wait = {
      statement: 'ALTER TABLE orders ADD COLUMN a text DEFAULT ?',
      waiting: { object: 'public.orders', blockers: [{ application: 'web', state: 'idle in transaction' }] },
    };
    expect((await run.waitForEvent('lease.expiring')).sessions).toMatchObject([wait]);
    expect((await run.waitForEvent('child.deadline')).sessions).toMatchObject([wait]);
    const { stderr, stdout, code } = await run.done;
    expect(code).toBe(124);
    const blocker = String.raw`held by pid \d+ \(web, role postgres, idle in transaction for \S+\)`;
    const sentence = new RegExp(
      String.raw`database session \d+ \(postgres\) ${waits} for public\.orders, ${blocker}`,
      'g',
    );
    expect(stderr.match(sentence)).toHaveLength(2);
    expect(stdout + stderr).not.toContain('secret');
  });
});

test('of many sessions it carries 20, first those that wait', async () => {
  await blocked(async () => {
    // The last session to connect is the one that waits.
    const script = `import postgres from 'postgres';
      const one = () => postgres(process.env.DIRECT_URL, { max: 1, fetch_types: false });
      for (let n = 0; n < 24; n++) await one()\`SELECT 1\`;
      await one().unsafe(process.env.MIGRATION);`;
    const run = start(['node', '--input-type=module', '-e', script]);
    const { sessions = [] } = await run.waitForEvent('lease.expiring');
    expect(sessions).toHaveLength(20);
    expect(sessions.map(({ waiting }) => waiting !== null)).toEqual([
      true,
      ...Array<boolean>(19).fill(false),
    ]);
    await run.done;
  });
});

test('a command without a session here has none', async () => {
  const run = start(['sleep', '1000']);
  expect((await run.waitForEvent('lease.expiring')).sessions).toEqual([]);
  expect((await run.done).code).toBe(124);
});

test.each<[string, Parameters<Relay['set']>[0]]>([
  ['is silent', 'silent'],
  ['accepts no connection', 'refuse'],
  ['answers too late', { delayMs: 400 }],
])('a database that %s at that moment moves no deadline', async (_, mode) => {
  const run = start(['sleep', '1000']);
  await run.waitForEvent('child.started');
  relay.set(mode);
  const expiring = await run.waitForEvent('lease.expiring');
  const { givenMs, gotMs } = await timesOf(run);
  relay.set('pass');
  expect(expiring).not.toHaveProperty('sessions');
  expect(Math.abs(gotMs - givenMs)).toBeLessThan(250);
  // The look has taken 500 ms of the time that was left at most.
  expect(expiring.deadlineMs).toBeGreaterThan(HAS_MS * 0.2 - 750);
  expect((await run.done).code).toBe(124);
});

test('a command that ends during the read is not warned of its deadline', async () => {
  const run = start(['sleep', String((HAS_MS * 0.8 + 200) / 1_000)]);
  await run.waitForEvent('child.started');
  relay.set('silent');
  await run.waitForEvent('child.exited');
  relay.set('pass');
  const { code, events } = await run.done;
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).not.toContain('lease.expiring');
});

describe('the sessions are not read', () => {
  test('where connections are few', async () => {
    const role = await db.createRole('CONNECTION LIMIT 4');
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${role.name}`);
    const run = start(['sleep', '1000'], role.url, ['--schema', 'few']);
    expect(await run.waitForEvent('lease.expiring')).not.toHaveProperty('sessions');
    await run.done;
  });

  (hasPooler ? test : test.skip)('behind a pooler (skipped where PgBouncer is not installed)', async () => {
    pooler = await startPooler(serverUrl());
    const run = start(['sleep', '1000'], pooler.through(db.url));
    expect(await run.waitForEvent('lease.expiring')).not.toHaveProperty('sessions');
    expect(await run.waitForEvent('child.deadline')).not.toHaveProperty('sessions');
    await run.done;
  });
});

describe('wait.timeout', () => {
  test('says what the holder waits for', async () => {
    await blocked(async () => {
      const holder = start(migrate, undefined, ['--ttl', '1m']);
      await holder.waitForEvent('child.started');
      const waiter = start(['true'], undefined, ['--wait-timeout', '3s']);
      const { sessions } = await waiter.waitForEvent('wait.timeout');
      expect(sessions).toMatchObject([{ waiting: { object: 'public.orders' } }]);
      const { code, stderr } = await waiter.done;
      expect(code).toBe(75);
      expect(stderr).toMatch(
        new RegExp(
          String.raw`gave up after .*: database session \d+ \(postgres\) ${waits} for public\.orders`,
        ),
      );
      holder.kill('SIGTERM');
      await holder.done;
    });
  });

  test('with a database that is silent then, it comes 500 ms later at most, and exits with the same code', async () => {
    const holder = start(['sleep', '1000'], db.url, ['--ttl', '1m']);
    await holder.waitForEvent('child.started');
    const waiter = start(['true'], undefined, ['--wait-timeout', '0']);
    relay.beforeRequest('"migrate_lock".activity()', () => relay.set('silent'));
    const { code, events } = await waiter.done;
    relay.set('pass');
    expect(code).toBe(75);
    const timeout = events.find(({ event }) => event === 'wait.timeout');
    expect(timeout).not.toHaveProperty('sessions');
    expect(timeout?.event === 'wait.timeout' && timeout.waitedMs).toBeLessThan(1_500);
    holder.kill('SIGTERM');
    await holder.done;
  });
});
