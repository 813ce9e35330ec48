/** The command needs connections too: where few are left, migrate-lock keeps none while the command runs. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

/** Connects to DATABASE_URL once, does a little work, and fails when it cannot. */
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

test('with one connection for the role, the command gets it', async () => {
  const env = { DATABASE_URL: await roleWithLimit(1) };
  for (let round = 0; round < 2; round++) {
    expect(await runCli(['run', '--schema', 'one', '--', ...COMMAND], { env })).toMatchObject({ code: 0 });
  }
});

test('with five connections and many waiters, no command fails', async () => {
  const env = { DATABASE_URL: await roleWithLimit(5) };
  expect((await runCli(['init', '--schema', 'five'], { env })).code).toBe(0);
  const results = await Promise.all(
    Array.from({ length: 25 }, () =>
      runCli(['run', '--schema', 'five', '--wait-timeout', '5m', '--', ...COMMAND], { env }),
    ),
  );
  expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
}, 180_000);

/** Sessions as the first polls of other runs have them. */
async function openPolls(url: string, count: number): Promise<postgres.Sql[]> {
  const polls = Array.from({ length: count }, () =>
    postgres(url, {
      max: 1,
      onnotice: () => undefined,
      connection: { application_name: 'migrate-lock' },
    }),
  );
  await Promise.all(polls.map((poll) => poll`SELECT 1`));
  return polls;
}

test('the command starts when the polls of other starting runs have ended', async () => {
  const url = await roleWithLimit(5);
  const env = { DATABASE_URL: url };
  expect((await runCli(['init', '--schema', 'starts'], { env })).code).toBe(0);
  const polls = await openPolls(url, 4);
  const running = startCli(['run', '--schema', 'starts', '--ttl', '60s', '--', ...COMMAND], { env });
  try {
    await running.waitForEvent('lock.acquired');
    await waitFor('the holder looks for them, on its connection', async () => {
      const looking = await db.sql`
        SELECT FROM pg_stat_activity
         WHERE datname = ${db.name} AND pid <> pg_backend_pid() AND query LIKE '%sessions%pg_stat_get_activity%'`;
      return looking.length === 1;
    });
    expect(running.events().map(({ event }) => event)).not.toContain('child.started');
  } finally {
    await Promise.all(polls.map((poll) => poll.end()));
  }
  expect(await running.done).toMatchObject({ code: 0 });
});

test('sessions that stay delay the command by a fifth of its time at most', async () => {
  const url = await roleWithLimit(5);
  const env = { DATABASE_URL: url };
  expect((await runCli(['init', '--schema', 'stay'], { env })).code).toBe(0);
  const polls = await openPolls(url, 3);
  try {
    const args = ['run', '--schema', 'stay', '--ttl', '20s', '--kill-grace', '15s', '--', ...COMMAND];
    const { code, events } = await runCli(args, { env });
    expect(code).toBe(0);
    const timeOf = (name: string) => Date.parse(events.find(({ event }) => event === name)?.time ?? '');
    const tookMs = timeOf('child.started') - timeOf('lock.acquired');
    expect(tookMs).toBeGreaterThan(500);
    expect(tookMs).toBeLessThan(4_000);
  } finally {
    await Promise.all(polls.map((poll) => poll.end()));
  }
});
