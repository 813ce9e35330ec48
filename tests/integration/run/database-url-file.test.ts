import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { childrenOf } from '../../support/processes.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';

let db: TestDatabase;
let role: TestRole;
let folder: string;
let file: string;

beforeAll(async () => {
  db = await createDatabase();
  role = await db.createRole();
  await db.sql`GRANT CREATE ON DATABASE ${db.sql(db.name)} TO ${db.sql(role.name)}`;
});
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'migrate-lock-url-file-'));
  file = path.join(folder, 'database-url');
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

/** Like a container's secret: the URL and a line end, readable for this user only. */
function write(content: string): void {
  writeFileSync(file, content);
  chmodSync(file, 0o400);
}

async function holderRole(): Promise<unknown> {
  return (await db.sql`SELECT db_role FROM migrate_lock.migration_lock`)[0]?.db_role;
}

describe('--database-url-file', () => {
  test.each([
    ['as it is', ''],
    ['with a line end', '\n'],
    ['with a Windows line end', '\r\n'],
  ])('names the database, %s', async (_, lineEnd) => {
    write(role.url + lineEnd);
    const { code, events, stderr } = await runCli(['run', '--database-url-file', file, '--', 'true']);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(events[0]).toMatchObject({ database: db.name });
    expect(await holderRole()).toBe(role.name);
  });

  test('overrides DATABASE_URL, also as a variable; --database-url overrides it', async () => {
    write(role.url);
    const nowhere = 'postgres://u:p@127.0.0.1:1/db';
    const { code } = await runCli(['run', '--', 'true'], {
      env: { DATABASE_URL: nowhere, MIGRATE_LOCK_DATABASE_URL_FILE: file },
    });
    expect(code).toBe(0);
    expect(await holderRole()).toBe(role.name);
    rmSync(file);
    const flag = await runCli(['run', '--database-url', role.url, '--database-url-file', file, '--', 'true']);
    expect(flag.code).toBe(0);
  });

  test('wins over MIGRATE_LOCK_DATABASE_URL, because a flag wins over a variable', async () => {
    write(role.url);
    const { code } = await runCli(['run', '--database-url-file', file, '--', 'true'], {
      env: { MIGRATE_LOCK_DATABASE_URL: 'postgres://u:p@127.0.0.1:1/db' },
    });
    expect(code).toBe(0);
    expect(await holderRole()).toBe(role.name);
  });

  test('keeps the password out of every argument, environment and output', async () => {
    write(role.url);
    const { password } = new URL(role.url);
    const cli = startCli(['run', '--database-url-file', file, '--', 'sleep', '1000']);
    await cli.waitForEvent('child.started');
    const family = [cli.pid, ...childrenOf(cli.pid)];
    expect(family.length).toBeGreaterThanOrEqual(3);
    for (const pid of family) {
      for (const part of ['cmdline', 'environ'])
        expect(readFileSync(`/proc/${pid}/${part}`, 'utf8')).not.toContain(password);
    }
    cli.kill('SIGTERM');
    const { stdout, stderr } = await cli.done;
    expect(stdout + stderr).not.toContain(password);
    const history = await db.sql`SELECT details::text AS text FROM migrate_lock.migration_lock_audit`;
    expect(history.map(({ text }) => String(text)).join()).not.toContain(password);
  });

  test.each([
    ['is not there', undefined],
    ['is empty', '\n'],
    ['holds something else', 'password=s3cr3t'],
    ['holds an invalid URL', 'postgres://user:s3cr3t@host:port:5/db'],
  ])('that %s is a usage error, which names the file and none of its content', async (_, content) => {
    if (content !== undefined) write(content);
    const { code, stdout, stderr } = await runCli(['run', '--database-url-file', file, '--', 'true']);
    expect(code).toBe(64);
    expect(stderr).toContain(file);
    expect(stdout + stderr).not.toContain('s3cr3t');
  });
});
