import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { childrenOf, isAlive, waitUntilGone } from '../../support/processes.js';
import { assertNothingLeft, CLI, NODE, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

function start(args: string[]) {
  return startCli(['run', ...args], { env: { DATABASE_URL: db.url, NODE, CLI } });
}

async function released() {
  const rows = await db.sql<{ by: string; late: boolean }[]>`
    SELECT details ->> 'by' AS by, (details ->> 'late')::boolean AS late
      FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' ORDER BY id`;
  return [...rows];
}

describe('a holder that is killed with SIGKILL', () => {
  test('leaves no child, and its guard releases the lease long before it expires', async () => {
    const holder = start(['--ttl', '10m', '--', 'sleep', '1000']);
    const { childPid } = await holder.waitForEvent('child.started');
    holder.kill('SIGKILL');
    await waitUntilGone(childPid);
    await waitFor('the release', async () => (await released()).length === 1, { limitMs: 10_000 });
    expect(await released()).toEqual([{ by: 'guard', late: false }]);
    const { code } = await start(['--wait-timeout', '0', '--', 'true']).done;
    expect(code).toBe(0);
  });

  test('right after it has acquired leaves nothing', async () => {
    for (let round = 0; round < 5; round++) {
      const holder = start(['--ttl', '10m', '--', 'sleep', '1000']);
      await waitFor(
        'the lease',
        async () => {
          const rows = await db.sql`SELECT FROM pg_tables WHERE schemaname = 'migrate_lock'`;
          if (rows.length === 0) return false;
          return (
            (await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`).length === 1
          );
        },
        { intervalMs: 1 },
      );
      holder.kill('SIGKILL');
      await waitFor(
        'the release',
        async () => {
          return (
            (await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`).length === 0
          );
        },
        { limitMs: 10_000 },
      );
      await assertNothingLeft();
      await db.sql`DROP SCHEMA migrate_lock CASCADE`;
    }
  });

  test('whose child ignores SIGTERM: the guard kills the child after the grace, then releases', async () => {
    const holder = start([
      '--ttl',
      '10m',
      '--kill-grace',
      '500ms',
      '--',
      'sh',
      '-c',
      'trap "" TERM; echo ready; while :; do sleep 0.1; done',
    ]);
    const { childPid } = await holder.waitForEvent('child.started');
    await waitFor('the child is ready', () => holder.stderr().includes('ready'));
    holder.kill('SIGKILL');
    await waitUntilGone(childPid);
    await waitFor('the release', async () => (await released()).length === 1, { limitMs: 10_000 });
  });
});

test('when a holder is stopped past its lease, the guard kills the child in time and the holder exits with 124', async () => {
  const holder = start(['--ttl', '3s', '--kill-grace', '100ms', '--', 'sleep', '1000']);
  const { childPid } = await holder.waitForEvent('child.started');
  const { expiresAt } = await holder.waitForEvent('lock.acquired');
  holder.kill('SIGSTOP');
  await waitUntilGone(childPid);
  const [left] = await db.sql`SELECT clock_timestamp() < ${expiresAt}::timestamptz AS before`;
  expect(left?.before).toBe(true);
  await waitFor('the end of the lease', async () => {
    return (await db.sql`SELECT clock_timestamp() > ${expiresAt}::timestamptz AS over`)[0]?.over === true;
  });
  const next = await start(['--', 'true']).done;
  expect(next.code).toBe(0);
  holder.kill('SIGCONT');
  const { code, events, stderr } = await holder.done;
  expect(code).toBe(124);
  expect(events.map(({ event }) => event)).not.toContain('lock.lost');
  // Another instance may have held the lock: the message must not deny that.
  expect(events.find(({ event }) => event === 'lock.release_failed')).toMatchObject({
    code: 'LEASE_EXPIRED',
  });
  expect(stderr).not.toMatch(/nobody else can run|before its lease expires/);
  expect(isAlive(childPid)).toBe(false);
});

test('a guard that dies is replaced, and the new one works', async () => {
  const holder = start(['--ttl', '10m', '--', 'sleep', '1000']);
  const { childPid } = await holder.waitForEvent('child.started');
  const [guard] = childrenOf(holder.pid).filter((pid) => pid !== childPid);
  process.kill(guard ?? NaN, 'SIGKILL');
  await holder.waitForEvent('guard.restarted');
  holder.kill('SIGKILL');
  await waitUntilGone(childPid);
  await waitFor('the release', async () => (await released()).length === 1, { limitMs: 10_000 });
});

test('a waiter that is killed with SIGKILL is removed from the queue', async () => {
  const holder = start(['--', 'sleep', '1000']);
  await holder.waitForEvent('child.started');
  const waiter = start(['--', 'true']);
  await waiter.waitForEvent('lock.waiting');
  waiter.kill('SIGKILL');
  await waitFor(
    'the queue is empty',
    async () => {
      return (await db.sql`SELECT FROM migrate_lock.migration_lock_waiter`).length === 0;
    },
    { limitMs: 10_000 },
  );
  holder.kill('SIGTERM');
  await holder.done;
});

describe('extend, inside the command', () => {
  test('moves the end of the lease and the deadline', async () => {
    const cli = start([
      '--ttl',
      '6s',
      '--kill-grace',
      '100ms',
      '--',
      'sh',
      '-c',
      '"$NODE" "$CLI" extend --ttl 1m && sleep 7',
    ]);
    const { code, events } = await cli.done;
    expect(events.find(({ event }) => event === 'lease.extended')).toMatchObject({ ttlMs: 60_000 });
    expect(code).toBe(0);
  });

  test('is refused outside of a run, and when it cannot reach the holder', async () => {
    const lonely = await startCli(['extend', '--ttl', '1m'], {}).done;
    expect(lonely.code).toBe(64);
    const orphaned = await startCli(['extend', '--ttl', '1m'], { env: { MIGRATE_LOCK_SOCKET: '/nowhere/s' } })
      .done;
    expect(orphaned.code).toBe(70);
    expect(orphaned.stderr).toContain('cannot be reached');
  });
});

test('lease.expiring comes while there is time left to extend, also with a long grace', async () => {
  const cli = start(['--ttl', '4s', '--kill-grace', '1500ms', '--', 'sleep', '1000']);
  const { deadlineMs } = await cli.waitForEvent('lease.expiring');
  expect(deadlineMs).toBeGreaterThan(0);
  const { events } = await cli.done;
  const names = events.map(({ event }) => event);
  expect(names.indexOf('lease.expiring')).toBeLessThan(names.indexOf('child.deadline'));
  // A fifth of the command's two seconds.
  expect(deadlineMs).toBeLessThanOrEqual(400);
});

test('assert exits with 0 while the lease is held, and with 70 otherwise', async () => {
  const cli = start([
    '--',
    'sh',
    '-c',
    '"$NODE" "$CLI" assert && MIGRATE_LOCK_FENCING_TOKEN=999 "$NODE" "$CLI" assert',
  ]);
  expect((await cli.done).code).toBe(70);
});
