import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { childrenOf, endProcess, signalProcess } from '../../support/processes.js';
import { assertNothingLeft, runCli, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

/** A knex migration without a transaction is cut off; the runs after it recover, and finish it. */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PATH = [join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
const AT_ONCE = 8;

/** Can be run again. It waits for the gate in its midst. */
const MIGRATION = `
export const config = { transaction: false };
export async function up(knex) {
  await knex.raw('CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY, doubled int)');
  await knex.raw('INSERT INTO orders SELECT n, NULL FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING');
  await knex.raw('UPDATE orders SET doubled = id * 2 WHERE id <= 5');
  await knex.raw('SELECT FROM gate FOR SHARE');
  await knex.raw('UPDATE orders SET doubled = id * 2 WHERE id > 5');
  await knex.raw('CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_doubled ON orders (doubled)');
}
export async function down() {}
`;

let db: TestDatabase;
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'migrate-lock-heal-'));
  mkdirSync(join(project, 'migrations'));
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(project, 'knexfile.js'),
    "export default { client: 'pg', connection: process.env.DATABASE_URL };",
  );
  writeFileSync(join(project, 'migrations', '20260101000000_double.js'), MIGRATION);
});
afterEach(async () => {
  await db.drop();
  await assertNothingLeft();
});
afterAll(() => rmSync(project, { recursive: true }));

const options = () => ({ cwd: project, env: { DATABASE_URL: db.url, PATH } });
const command = ['--', 'knex', 'migrate:latest'];

async function knexPid(running: RunningCli): Promise<number> {
  return (await running.waitForEvent('child.started')).childPid;
}

const WAYS: [string, string[], (running: RunningCli) => Promise<void>][] = [
  ['kill -9 of migrate-lock', [], (running) => Promise.resolve(void signalProcess(running.pid, 'SIGKILL'))],
  ['the deadline', ['--ttl', '15s', '--kill-grace', '500ms'], () => Promise.resolve()],
  ['kill -9 of knex alone', [], async (running) => void signalProcess(await knexPid(running), 'SIGKILL')],
  [
    'kill -9 of the container: migrate-lock, its guard and knex',
    ['--ttl', '15s', '--kill-grace', '500ms'],
    async (running) => {
      signalProcess(running.pid, 'SIGSTOP'); // so that it starts no other guard
      for (const pid of childrenOf(running.pid)) await endProcess(pid);
      await endProcess(running.pid);
    },
  ],
];

test.each(WAYS)(
  `${AT_ONCE} starts at once after %s: the first recovers and migrates, all exit with 0`,
  async (_, args, cutOff) => {
    db = await createDatabase();
    await db.sql`CREATE TABLE gate AS SELECT 1 AS closed`;
    const blocked = db.sql.begin(async (gate) => {
      await gate`SELECT FROM gate FOR UPDATE`;
      const first = startCli(['run', ...args, ...command], options());
      await first.waitForEvent('child.started');
      await waitFor('the migration at the gate', async () => {
        const waiting = await db.sql`
          SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`;
        return waiting.length > 0;
      });
      await cutOff(first);
      await first.done;
      const runs = Array.from({ length: AT_ONCE }, () =>
        startCli(['run', '--wait-timeout', '90s', '--ttl', '60s', ...command], options()),
      );
      // The gate opens when one of them has the lock.
      await Promise.race(runs.map((running) => running.waitForEvent('lock.acquired', undefined, 90_000)));
      return { runs };
    });
    const results = await Promise.all((await blocked).runs.map(({ done }) => done));
    expect(results.map(({ code, stderr }) => (code === 0 ? 0 : stderr))).toEqual(Array(AT_ONCE).fill(0));
    const recovered = results.filter(({ events }) => events.some(({ event }) => event === 'recover.exited'));
    expect(recovered).toHaveLength(1);
    expect(await db.sql`SELECT FROM orders WHERE doubled = id * 2`).toHaveLength(10);
    expect(await db.sql`SELECT name FROM knex_migrations`).toHaveLength(1);
    expect(
      await db.sql`SELECT FROM pg_index WHERE indexrelid = 'orders_doubled'::regclass AND indisvalid`,
    ).toHaveLength(1);
    expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(0);
  },
  240_000,
);

test('two services on one lock, both killed: each recovers at its own next run', async () => {
  db = await createDatabase();
  const service = (name: string, work: string) =>
    runCli(['run', '--recover', `echo recovering ${name}`, '--', 'sh', '-c', `# ${name}\neval "$WORK"`], {
      env: { DATABASE_URL: db.url, WORK: work },
    });
  for (const name of ['orders', 'billing'])
    expect(await service(name, 'kill -9 $$')).toMatchObject({ code: 137 });
  for (const name of ['billing', 'orders']) {
    const next = await service(name, 'true');
    expect(next).toMatchObject({ code: 0 });
    expect(next.stderr).toContain(`recovering ${name}`);
  }
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(0);
});
