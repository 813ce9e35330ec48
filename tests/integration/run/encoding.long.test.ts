import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { MigrationLock } from '../../../src/index.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, CLI, runCli, startCli } from '../../support/run-cli.js';

const HOST_NAME = fileURLToPath(new URL('../../support/fixtures/host-name.cjs', import.meta.url));

/** Neither LATIN1 nor EUC_JP has all of these characters. */
const FOREIGN = 'größe-日本-\u{1F600}';
const ESCAPED = 'gr\\u00f6\\u00dfe-\\u65e5\\u672c-\\ud83d\\ude00';

describe.each(['LATIN1', 'SQL_ASCII', 'EUC_JP'] as const)(
  'in a database with the encoding %s',
  (encoding) => {
    let db: TestDatabase;

    beforeAll(async () => {
      db = await createDatabase(undefined, encoding);
    });
    afterEach(async () => {
      await assertNothingLeft();
      await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
    });
    afterAll(() => db.drop());

    const options = () => ({
      program: ['--require', HOST_NAME, CLI],
      env: { DATABASE_URL: db.url, TEST_HOST_NAME: FOREIGN },
    });
    const other = (command: string, ...args: string[]) =>
      runCli([command, ...args], { env: { DATABASE_URL: db.url }, auditOnly: false });
    const verified = async () =>
      expect(await other('history', '--verify')).toMatchObject({
        code: 0,
        stdout: expect.stringContaining(''),
      });

    test('a command and a host that cannot be stored are escaped: holder, waiter, status, history, unlock', async () => {
      const holder = startCli(['run', '--', 'sh', '-c', 'sleep 1000', FOREIGN], options());
      await holder.waitForEvent('child.started');
      const waiter = startCli(['run', '--wait-timeout', '100s', '--', 'true', FOREIGN], options());
      expect(await waiter.waitForEvent('lock.waiting')).toMatchObject({
        holderHost: ESCAPED,
        holderCommand: expect.stringContaining(ESCAPED),
      });
      const status = await other('status', '--json');
      expect(status.stderr).toBe('');
      expect(JSON.parse(status.stdout)).toMatchObject({
        lease: { host: ESCAPED, command: expect.stringContaining(ESCAPED) },
        waiters: [{ host: ESCAPED, command: `true '${ESCAPED}'` }],
      });
      const { instanceId } = await holder.waitForEvent('lock.acquired');
      expect(await other('unlock', '--force', '--instance', instanceId)).toMatchObject({ code: 0 });
      holder.kill('SIGTERM');
      await holder.done;
      expect(await waiter.done).toMatchObject({ code: 0 });
      const history = await other('history');
      expect(history.stdout).toContain(JSON.stringify(ESCAPED));
      await verified();
    });

    test.each([
      ['of two bytes a letter', 'é'.repeat(900)],
      ['of one more byte', `x${'é'.repeat(900)}`],
      ['in ASCII', 'x'.repeat(900)],
    ])('a command that is cut, %s, is stored and runs', async (_, word) => {
      expect(await runCli(['run', '--', 'true', word, word, word], options())).toMatchObject({ code: 0 });
      expect((await other('history')).code).toBe(0);
      const [row] =
        await db.sql`SELECT octet_length(command) AS bytes, command FROM migrate_lock.migration_lock`;
      expect(row?.bytes).toBeLessThanOrEqual(2_000);
      expect(row?.command).toMatch(/^[ -~]*(\.\.\.|\\u2026) \(cut\)$/);
      await verified();
    });

    test('--once stores the escaped command, and recognizes it', async () => {
      const once = () => runCli(['run', '--once', 'release-1', '--', 'true', FOREIGN], options());
      expect((await once()).events.at(-1)).toMatchObject({ exitCode: 0 });
      const second = await once();
      expect(second.code).toBe(0);
      expect(second.events.map(({ event }) => event)).not.toContain('child.started');
      const runs = await db.sql`SELECT run_key, command FROM migrate_lock.migration_lock_run`;
      expect(runs).toEqual([{ run_key: 'release-1', command: `true '${ESCAPED}'` }]);
      await verified();
    });

    test('a run key that can be stored works; another is refused (64), and nothing runs', async () => {
      const key = encoding === 'EUC_JP' ? '日本-1' : 'größe-1';
      expect(await runCli(['run', '--once', key, '--', 'true'], options())).toMatchObject({ code: 0 });
      await verified();
      const refused = await runCli(['run', '--once', `${FOREIGN}-1`, '--', 'true'], options());
      if (encoding === 'SQL_ASCII') {
        expect(refused.code).toBe(0); // it stores any bytes
        return verified();
      }
      expect(refused.code).toBe(64);
      expect(refused.stderr).toContain('give a run key, a schema or an instance id in ASCII');
      expect(refused.events.map(({ event }) => event)).not.toContain('child.started');
    });

    test('an instance id or a schema that cannot be stored is refused with a specific error', async () => {
      await runCli(['run', '--', 'true'], options());
      const expected = encoding === 'SQL_ASCII' ? 0 : 64;
      for (const args of [
        ['unlock', '--force', '--instance', FOREIGN],
        ['status', '--schema', FOREIGN],
      ]) {
        const { code, stderr } = await other(...(args as [string, ...string[]]));
        expect({ args, code, stderr }).toMatchObject({ code: args[0] === 'unlock' ? 0 : expected });
        expect(stderr).not.toContain('reported an error');
      }
    });

    test('the library works with a URL and with an instance of postgres.js', async () => {
      const sql = postgres(db.url, { max: 2, onnotice: () => undefined });
      try {
        for (const connection of [db.url, sql]) {
          const lock = new MigrationLock({ connection, command: FOREIGN });
          expect(await lock.acquire()).toBe(true);
          expect((await lock.status()).lease).toMatchObject({ command: ESCAPED });
          expect(await lock.release()).toBe(true);
        }
      } finally {
        await sql.end({ timeout: 1 });
      }
      await verified();
    });
  },
);

test('in UTF8 everything is stored unchanged', async () => {
  const db = await createDatabase();
  try {
    const env = { DATABASE_URL: db.url, TEST_HOST_NAME: FOREIGN };
    await runCli(['run', '--', 'true', FOREIGN], { program: ['--require', HOST_NAME, CLI], env });
    const [row] = await db.sql`SELECT host, command FROM migrate_lock.migration_lock`;
    expect(row).toEqual({ host: FOREIGN, command: `true '${FOREIGN}'` });
  } finally {
    await db.drop();
  }
});
