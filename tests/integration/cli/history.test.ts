import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { pollInSql } from '../../support/poll-in-sql.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { runCli } from '../../support/run-cli.js';
import { fingerprint } from './catalog.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

const history = (args: string[] = [], url = db.url) =>
  runCli(['history', ...args], { env: { DATABASE_URL: url }, auditOnly: false });

interface Entry {
  at: string;
  event: string;
  instanceId: string;
  details: Record<string, unknown>;
}

async function entries(args: string[] = [], url = db.url): Promise<Entry[]> {
  const { code, stdout, stderr } = await history(['--json', ...args], url);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Entry);
}

/**
 * Acquires and releases `n` leases.
 * @returns their instance ids.
 */
async function leases(n: number): Promise<string[]> {
  const lock = await openLock(db.url);
  const holders: string[] = [];
  for (let at = 0; at < n; at++) {
    const { me } = await tryToAcquire(lock);
    await lock.release(me);
    holders.push(me.instanceId);
  }
  lock.database.disconnect();
  return holders;
}

describe('migrate-lock history', () => {
  test('prints nothing and creates nothing where the lock was never used', async () => {
    const before = await fingerprint(db.sql);
    expect(await history()).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(await entries()).toEqual([]);
    expect(await fingerprint(db.sql)).toEqual(before);
  });

  test('prints the newest 20 rows, or --limit, the newest last', async () => {
    const holders = await leases(11);
    const all = await entries(['--limit', '100']);
    expect(all.map(({ event, instanceId }) => [event, instanceId])).toEqual(
      holders.flatMap((id) => [
        ['lock.acquired', id],
        ['lock.released', id],
      ]),
    );
    expect(await entries()).toEqual(all.slice(-20));
    expect(await entries(['--limit', '1'])).toEqual(all.slice(-1));
    expect(all[0]).toMatchObject({
      fencingToken: 1,
      dbRole: 'postgres',
      clientAddress: expect.any(String),
      details: { command: 'a migration', ttlMs: 30_000 },
    });
    const { stdout } = await history(['--limit', '2']);
    const [first, second, ...more] = stdout.split('\n');
    expect(first).toContain(`${all.at(-2)?.at ?? ''}  lock.acquired`);
    expect(first).toContain('command="a migration"');
    expect(second).toContain(`lock.released        ${holders.at(-1) ?? ''}`);
    expect(more).toEqual(['']);
  });

  test('--since leaves out older rows', async () => {
    (await openLock(db.url)).database.disconnect();
    await db.sql`INSERT INTO migrate_lock.migration_lock_audit (at, event) VALUES
      (now() - interval '25 h', 'too old'), (now() - interval '23 h', 'of this day')`;
    expect((await entries(['--since', '1d'])).map(({ event }) => event)).toEqual(['of this day']);
    expect(await entries()).toHaveLength(2);
  });

  test('prints no control characters of others to the terminal', async () => {
    const lock = await openLock(db.url);
    const hostile = 'true\n\u001b[2J\u009b\u202eThe lock is free.';
    const client = { host: hostile, pid: 1, command: hostile };
    await pollInSql(db.sql, hostile, { client });
    lock.database.disconnect();
    const { stdout } = await history();
    expect(stdout.split('\n')).toHaveLength(2);
    expect(stdout).toContain('true\\n\\x1b[2J\\x9b\\u202eThe lock is free.');
    const { stdout: json } = await history(['--json']);
    expect(JSON.parse(json) as Entry).toMatchObject({ instanceId: hostile, details: { command: hostile } });
    // eslint-disable-next-line no-control-regex -- they are what must not be there
    for (const text of [stdout, json]) expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });

  test('needs USAGE on the schema and EXECUTE on history(), works read-only, and exits with 77 otherwise', async () => {
    await leases(1);
    const role = await db.createRole();
    expect(await history([], role.url)).toMatchObject({ code: 77, stdout: '' });
    await db.sql.unsafe(`
      GRANT USAGE ON SCHEMA migrate_lock TO ${role.name};
      GRANT EXECUTE ON FUNCTION migrate_lock.history(integer, bigint) TO ${role.name};
      ALTER ROLE ${role.name} SET default_transaction_read_only = on`);
    expect(await entries([], role.url)).toHaveLength(2);
  });

  test('reports a schema that is too old', async () => {
    await leases(1);
    await db.sql`DROP FUNCTION migrate_lock.history(integer, bigint)`;
    const told = await history();
    expect(told).toMatchObject({ code: 77, stdout: '' });
    expect(told.stderr).toContain('migrate-lock init');
  });

  test.each([['--limit', '0'], ['--limit', '10001'], ['--limit', 'all'], ['--since', 'ever'], ['--jsn']])(
    '%s %s is a usage error',
    async (...args) => {
      expect(await history(args)).toMatchObject({ code: 64, stdout: '' });
    },
  );
});
