import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, CLI, NODE, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

// Extensions while the database is down. The test stops its own server.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer();
  db = await createDatabase(server.url);
});
afterEach(async () => {
  if (server.pid === null) await server.start();
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await db.sql.end({ timeout: 1 });
  await server.stop();
});

/** A run whose command extends on SIGUSR1, reports the result, and continues if it succeeds. */
function start(args: string[], around = ''): RunningCli {
  const line =
    'GO=; trap "GO=1" USR1; echo READY; until [ "$GO" ]; do sleep 0.05; done; ' +
    '"$NODE" "$CLI" extend --ttl 5m; echo "extend=$?"';
  const words = around === '' ? [] : around.split(' ');
  return startCli(['run', '--kill-grace', '200ms', ...args, '--', ...words, 'sh', '-c', line], {
    env: { DATABASE_URL: db.url, NODE, CLI },
  });
}

/** Passes the signal to the command when it is ready, as the run does. */
async function ask(run: RunningCli): Promise<void> {
  await waitFor('the command', () => run.stderr().includes('\nREADY'));
  run.kill('SIGUSR1');
}

const told = (text: string): string | undefined => /extend=(\d+)/.exec(text)?.[1];
const NESTED = `${NODE} ${CLI} run --`;

describe.each([
  ['a run', ''],
  ['a nested run', NESTED],
])('%s', (_, around) => {
  test('extends when the database comes back in time', async () => {
    const run = start(['--ttl', '1m'], around);
    await waitFor('the command', () => run.stderr().includes('\nREADY'));
    await server.halt('fast');
    await ask(run);
    await waitFor('it says so', () => run.stderr().includes('the holder tries again'));
    expect((await run.waitForEvent('database.unavailable')).message).toContain('could not be reached');
    await server.start();
    const { code, stderr, events } = await run.done;
    expect({ extend: told(stderr), code }).toEqual({ extend: '0', code: 0 });
    expect(events.filter(({ event }) => event === 'lease.extended')).toHaveLength(1);
  });

  test("extends after the lease's row was locked for long", async () => {
    const run = start(['--ttl', '1m'], around);
    await waitFor('the command', () => run.stderr().includes('\nREADY'));
    await db.sql.begin(async (sql) => {
      await sql`SELECT FROM migrate_lock.migration_lock FOR UPDATE`;
      await ask(run);
      await waitFor('it says so', () => run.stderr().includes('the holder tries again'));
    });
    const { code, stderr } = await run.done;
    expect({ extend: told(stderr), code }).toEqual({ extend: '0', code: 0 });
  });

  test("exits with 69 before the deadline while the database stays down, and reports the lease's end", async () => {
    const run = start(['--ttl', '8s'], around);
    const { expiresAt } = await run.waitForEvent('lock.acquired');
    await waitFor('the command', () => run.stderr().includes('\nREADY'));
    await server.halt('fast');
    await ask(run);
    await waitFor('an answer', () => run.stderr().includes('The lease was not extended'));
    expect(Date.now()).toBeLessThan(Date.parse(expiresAt));
    const [sentence] = /The lease was not extended.*/.exec(run.stderr()) ?? [];
    expect(sentence).toContain(`The lease is held until ${expiresAt}`);
    expect(sentence).not.toContain('the lease has ended');
    await run.done;
  });
});

test('while the database is down, a refused extension exits with 70 once the lease has ended', async () => {
  const run = start(['--ttl', '1m']);
  const { instanceId } = await run.waitForEvent('lock.acquired');
  await waitFor('the command', () => run.stderr().includes('\nREADY'));
  const unlocked = await startCli(['unlock', '--force', '--yes', '--instance', instanceId], {
    env: { DATABASE_URL: db.url },
    auditOnly: false,
  }).done;
  expect(unlocked.code).toBe(0);
  await ask(run);
  expect(told((await run.done).stderr)).toBe('70');
});
