import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { OwnDatabase } from '../../../src/db/own-database.js';
import { prismaRecovery } from '../../../src/recover/prisma.js';
import { takenToolLocks } from '../../../src/recover/tool-locks.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openDatabase } from '../../support/lock.js';

/** `--recover prisma`, with a table as Prisma makes it. */

const DEPLOY = ['npx', 'prisma', 'migrate', 'deploy'];
const SQL = '-- CreateTable\nCREATE TABLE "User" ("id" integer);\n';

let db: TestDatabase;
let database: OwnDatabase;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
  database = openDatabase(db.url);
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'prisma-'));
  await makeTable('public');
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await db.sql`DROP TABLE public._prisma_migrations`;
  await db.sql`DROP SCHEMA IF EXISTS app CASCADE`;
});
afterAll(async () => {
  database.disconnect();
  await db.drop();
});

/** https://github.com/prisma/prisma-engines: flavour/postgres.rs */
async function makeTable(schema: string): Promise<void> {
  await db.sql.unsafe(`
    CREATE TABLE ${schema}._prisma_migrations (
        id                  VARCHAR(36) PRIMARY KEY NOT NULL,
        checksum            VARCHAR(64) NOT NULL,
        finished_at         TIMESTAMPTZ,
        migration_name      VARCHAR(255) NOT NULL,
        logs                TEXT,
        rolled_back_at      TIMESTAMPTZ,
        started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
        applied_steps_count INTEGER NOT NULL DEFAULT 0)`);
}

interface Migration {
  name?: string;
  sql?: string;
  stored?: string;
  finished?: boolean;
  rolledBack?: boolean;
  steps?: number;
  schema?: string;
  path?: string;
}

/** A migration in the table, and its file. */
async function migration({
  name = '20260105090000_users',
  sql = SQL,
  stored = sql,
  finished = false,
  rolledBack = false,
  steps = 0,
  schema = 'public',
  path = 'prisma/migrations',
}: Migration = {}): Promise<void> {
  await db.sql`
    INSERT INTO ${db.sql(schema)}._prisma_migrations (id, checksum, migration_name, finished_at, rolled_back_at, applied_steps_count)
    VALUES (md5(random()::text), ${createHash('sha256').update(stored).digest('hex')}, ${name},
            ${finished ? new Date() : null}, ${rolledBack ? new Date() : null}, ${steps})`;
  const file = join(folder, path, name, 'migration.sql');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, sql);
}

const recovery = (argv: readonly string[] = DEPLOY) => prismaRecovery(database, argv, folder);

describe('gives the commands', () => {
  test('for each unfinished migration, in the same way as the command', async () => {
    await migration({ name: '20260101000000_done', finished: true, steps: 1 });
    await migration({ name: '20260102000000_given_up', rolledBack: true });
    expect(await recovery()).toEqual([]);
    expect(await takenToolLocks(database)).toEqual([]);
    await migration();
    await migration({ rolledBack: true });
    await migration({ name: '20260106000000_more' });
    expect(await recovery()).toEqual([
      ['npx', 'prisma', 'migrate', 'resolve', '--rolled-back', '20260105090000_users'],
      ['npx', 'prisma', 'migrate', 'resolve', '--rolled-back', '20260106000000_more'],
    ]);
    expect(await takenToolLocks(database)).toEqual([
      { tool: 'prisma', schema: 'public', table: '_prisma_migrations', recover: 'prisma' },
    ]);
  });

  test.each([
    ['--schema=db/schema.prisma', 'db/migrations'],
    ['--schema=db/schema', 'db/schema/migrations'],
    ['--config=web/prisma.config.ts', 'web/prisma/migrations'],
  ])('with %s, where the migrations are', async (option, path) => {
    await migration({ path });
    expect(await recovery(['prisma', 'migrate', 'deploy', option])).toEqual([
      ['prisma', 'migrate', 'resolve', option, '--rolled-back', '20260105090000_users'],
    ]);
    await expect(recovery()).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' });
  });
});

describe('refuses', () => {
  const refused = async (said: RegExp) => {
    const error: unknown = await recovery().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'PrismaRecoveryError', code: 'RECOVERY_REFUSED', exitCode: 64 });
    expect((error as Error).message).toMatch(said);
  };

  test('a migration that may not be one transaction, and then all of them', async () => {
    await migration();
    await migration({ name: '20260106000000_index', sql: 'CREATE INDEX CONCURRENTLY i ON t (a)' });
    await refused(/20260106000000_index may not be one transaction \(CONCURRENTLY\)/);
  });

  test('another file than the one that ran, and one that is missing', async () => {
    await migration({ stored: `${SQL}COMMIT;` });
    await refused(/no migration.sql of 20260105090000_users with the checksum/);
    rmSync(join(folder, 'prisma'), { recursive: true });
    await refused(/no migration.sql/);
  });

  test('a migration that was applied, of which only the end was not recorded', async () => {
    await migration({ steps: 1 });
    await refused(/was applied/);
  });

  test.each([
    '../prisma/x',
    '-rf',
    '--help',
    '.',
    '..',
    '',
    'a..b',
    'a b',
    '$(id)',
    "a'b",
    'a\nb',
    'a/b',
    'ä',
  ])('a name that is not that of a folder: %s', async (name) => {
    await db.sql`
        INSERT INTO _prisma_migrations (id, checksum, migration_name)
        VALUES ('1', ${createHash('sha256').update(SQL).digest('hex')}, ${name})`;
    await refused(/is not that of a folder/);
  });

  test('unfinished migrations in several schemas', async () => {
    await db.sql`CREATE SCHEMA app`;
    await makeTable('app');
    await migration();
    expect(await recovery()).toHaveLength(1);
    await migration({ schema: 'app' });
    await refused(/several schemas \(app, public\)/);
  });

  test.each([
    ['prisma.config.ts', DEPLOY],
    ['.config/prisma.mjs', DEPLOY],
    ['web/config.ts', [...DEPLOY, '--config', 'web/config.ts']],
  ])('a driver adapter, which sends the statements one by one: %s', async (file, argv) => {
    await migration();
    await migration({ path: 'web/prisma/migrations' });
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), `import { PrismaPg } from '@prisma/adapter-pg';`);
    await expect(recovery(argv)).rejects.toThrow(/names a driver adapter/);
    writeFileSync(join(folder, file), `export default { schema: 'prisma/schema.prisma' };`);
    expect((await recovery(argv)).length).toBeGreaterThan(0);
  });

  test.each([
    [['npm', 'run', 'migrate']],
    [['prisma', 'migrate', 'dev']],
    [['sh', '-c', 'npx prisma migrate deploy']],
  ])('a command that is not known to be Prisma: %s', async (argv) => {
    await migration();
    await expect(recovery(argv)).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' });
  });
});
