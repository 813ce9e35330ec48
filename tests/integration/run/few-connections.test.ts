/** The command needs connections too: where few are left, migrate-lock keeps none while the command runs. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

/** Connects to DATABASE_URL once, does a little work, and fails where it cannot. */
const COMMAND = [
  process.execPath,
  '--input-type=module',
  '--eval',
  `import postgres from 'postgres';
   const sql = postgres(process.env.DATABASE_URL, { max: 1, onnotice: () => undefined });
   await sql\`SELECT pg_sleep(0.05)\`;
   await sql.end();`,
];

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(assertNothingLeft);
afterAll(() => db.drop());

async function roleWithLimit(limit: number): Promise<string> {
  const role = await db.createRole(`CONNECTION LIMIT ${limit}`);
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${role.name}`);
  return role.url;
}

test('with one connection for the role, the command has it', async () => {
  const env = { DATABASE_URL: await roleWithLimit(1) };
  for (let round = 0; round < 2; round++) {
    expect(await runCli(['run', '--schema', 'one', '--', ...COMMAND], { env })).toMatchObject({ code: 0 });
  }
});

test('with five connections, and many runs that wait, no command fails', async () => {
  const env = { DATABASE_URL: await roleWithLimit(5) };
  expect((await runCli(['init', '--schema', 'five'], { env })).code).toBe(0);
  const results = await Promise.all(
    Array.from({ length: 25 }, () =>
      runCli(['run', '--schema', 'five', '--wait-timeout', '5m', '--', ...COMMAND], { env }),
    ),
  );
  expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
}, 180_000);
