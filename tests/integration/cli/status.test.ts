import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { pollInSql } from '../../support/poll-in-sql.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { fingerprint } from './catalog.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

function status(args: string[] = [], env: Record<string, string> = { DATABASE_URL: db.url }) {
  return runCli(['status', ...args], { env, auditOnly: false });
}

interface Told {
  state: string;
  lease: Record<string, unknown> | null;
  waiters: { instanceId: string; waitingMs: number }[];
}

async function statusAsJson(url = db.url): Promise<Told & Record<string, unknown>> {
  const { code, stdout, stderr } = await status(['--json'], { DATABASE_URL: url });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.split('\n')).toHaveLength(2);
  return JSON.parse(stdout) as Told & Record<string, unknown>;
}

describe('migrate-lock status', () => {
  test('reports a free lock and creates nothing where the lock was never used', async () => {
    const before = await fingerprint(db.sql);
    expect(await statusAsJson()).toEqual({
      database: db.name,
      schema: 'migrate_lock',
      state: 'free',
      uncleanEnds: [],
      lease: null,
      waiters: [],
      watchers: 0,
      sessions: null,
      sessionsUnknown: null,
      isReplica: false,
    });
    expect((await status()).stdout).toContain('it has not been used yet');
    expect(await fingerprint(db.sql)).toEqual(before);
  });

  test('shows the holder and the waiters in order of arrival, and then that the lock is free', async () => {
    const start = (seconds: string) =>
      startCli(['run', '--ttl', '5m', '--wait-timeout', '5m', '--', 'sleep', seconds], {
        env: { DATABASE_URL: db.url },
      });
    const holder = start('1000');
    const { instanceId, fencingToken, host, expiresAt } = await holder.waitForEvent('lock.acquired');
    const first = start('1001');
    const { instanceId: firstId } = await first.waitForEvent('lock.waiting');
    const second = start('1002');
    const { instanceId: secondId } = await second.waitForEvent('lock.waiting');

    const told = await statusAsJson();
    expect(told).toMatchObject({
      database: db.name,
      state: 'held',
      lease: { instanceId, fencingToken, host, pid: holder.pid, dbRole: 'postgres', command: 'sleep 1000' },
      waiters: [
        { instanceId: firstId, pid: first.pid, command: 'sleep 1001' },
        { instanceId: secondId, pid: second.pid, command: 'sleep 1002' },
      ],
    });
    expect(told.lease).toMatchObject({ expiresAt, releasedAt: null, expiresAtMs: Date.parse(expiresAt) });

    const { code, stdout, stderr } = await status();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^The lock of \S+ \(schema migrate_lock\) is held\.$/m);
    const inOrder = [
      instanceId,
      'sleep 1000',
      `until          ${expiresAt}`,
      firstId,
      'sleep 1001',
      secondId,
    ];
    const places = inOrder.map((text) => stdout.indexOf(text));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));

    for (const waiter of [first, second]) waiter.kill('SIGTERM');
    await Promise.all([first.done, second.done]);
    holder.kill('SIGTERM');
    await holder.done;
    expect(await statusAsJson()).toMatchObject({
      state: 'free',
      lease: { instanceId, releasedAt: expect.stringMatching(/Z$/) },
      waiters: [],
    });
  });

  test('reports an expired lease that was not released', async () => {
    const lock = await openLock(db.url);
    const { me } = await tryToAcquire(lock, { ttlMs: 300 });
    await waitFor('it has run out', async () => (await lock.status()).state === 'expired');
    lock.database.disconnect();
    expect(await statusAsJson()).toMatchObject({
      state: 'expired',
      lease: { instanceId: me.instanceId, releasedAt: null },
    });
    expect((await status()).stdout).toContain('takes over');
  });

  test('shows another lock for another schema', async () => {
    const lock = await openLock(db.url);
    await tryToAcquire(lock);
    lock.database.disconnect();
    const { code, stdout } = await status(['--schema', 'other', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'other', state: 'free', lease: null });
  });

  test('prints no control characters of others to the terminal', async () => {
    const lock = await openLock(db.url);
    const hostile = 'true\n\u001b[2J\u009b\u202eThe lock is free.';
    const client = { host: hostile, pid: 1, command: hostile };
    await pollInSql(db.sql, 'a', { client });
    lock.database.disconnect();
    const { stdout } = await status();
    expect(stdout).toContain('true\\n\\x1b[2J\\x9b\\u202eThe lock is free.');
    const { stdout: json } = await status(['--json']);
    expect((JSON.parse(json) as Told).lease).toMatchObject({ command: hostile });
    // eslint-disable-next-line no-control-regex -- they are what must not be there
    for (const text of [stdout, json]) expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });
});

describe('status', () => {
  test('needs USAGE on the schema and EXECUTE on status(), works read-only, and exits with 77 otherwise; activity() may be missing', async () => {
    const lock = await openLock(db.url);
    const { me } = await tryToAcquire(lock);
    lock.database.disconnect();
    const role = await db.createRole();
    const denied = await status([], { DATABASE_URL: role.url });
    expect(denied).toMatchObject({ code: 77, stdout: '' });
    await db.sql.unsafe(`
      GRANT USAGE ON SCHEMA migrate_lock TO ${role.name};
      GRANT EXECUTE ON FUNCTION migrate_lock.status() TO ${role.name};
      ALTER ROLE ${role.name} SET default_transaction_read_only = on`);
    expect(await statusAsJson(role.url)).toMatchObject({
      state: 'held',
      lease: { instanceId: me.instanceId },
      sessions: null,
      sessionsUnknown: 'the role may not call activity() of the lock schema',
    });
  });

  test('exits with 69 when no server answers, and with 64 when no database is named', async () => {
    const nobody = await status([], { DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/db' });
    expect(nobody).toMatchObject({ code: 69, stdout: '' });
    expect(nobody.stderr).not.toContain('hunter2');
    expect(await status([], {})).toMatchObject({ code: 64, stdout: '' });
    expect(await status(['--jsn'])).toMatchObject({ code: 64, stdout: '' });
  });
});
