/** What a command prints as its result is complete, or it fails. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

/** More than is kept in memory for a reader that stalls. */
const ROWS = 4_000;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  expect((await runCli(['init'], { env: { DATABASE_URL: db.url } })).code).toBe(0);
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_audit (event, instance_id, details)
    SELECT 'wait.timeout', 'a', jsonb_build_object('holderCommand', repeat('x', 300)) FROM generate_series(1, ${ROWS})`;
});
afterEach(assertNothingLeft);
afterAll(() => db.drop());

const through = (line: string) => ['sh', '-c', line, 'sh'];
const run = (args: string[], line: string) =>
  runCli(args, { env: { DATABASE_URL: db.url }, through: through(line), auditOnly: false });

test('history loses no row to a slow reader', async () => {
  const args = ['history', '--json', '--limit', '10000'];
  const { stdout } = await run(args, '"$@" | { sleep 2; cat; }');
  const rows = stdout.split('\n').filter((text) => text !== '');
  expect(rows.filter((text) => text.includes('"wait.timeout"'))).toHaveLength(ROWS);
});

test('init --print is whole also for a reader that begins late, as ssh', async () => {
  const { stdout } = await run(['init', '--print'], '"$@" | { sleep 2; cat; }');
  expect(stdout.length).toBeGreaterThan(65_536);
  expect(stdout.trimEnd()).toMatch(/COMMIT;$/);
});

test('a reader that has seen enough is no failure', async () => {
  const { stdout, stderr } = await run(['history', '--json', '--limit', '10000'], '"$@" | head -n 1');
  expect(stdout.split('\n')).toHaveLength(2);
  expect(stderr).toBe('');
});

test.each([
  ['history'],
  ['status'],
  ['status --json'],
  ['history --verify --json'],
  ['init --print'],
  ['doctor'],
])('%s on a full disk: exit code 1', async (words) => {
  const { code, stderr } = await run(words.split(' '), 'exec "$@" >/dev/full');
  expect({ code, stderr }).toMatchObject({ code: 1 });
  expect(stderr).toContain('The output could not be written');
});
