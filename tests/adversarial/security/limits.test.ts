import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CLI, NODE, runCli } from '../../support/run-cli.js';
import { openStage, poll, release, sqlState, type Stage } from './stage.js';

let stage: Stage;

beforeAll(async () => {
  stage = await openStage({ maxTtlMs: 3_600_000 });
});
afterAll(() => stage.close());

const run = (args: string[], env = { DATABASE_URL: stage.app.url }) => runCli(args, { env });

test("a --ttl longer than the lock's limit is refused: 64, with the limit", async () => {
  const { code, stderr, events } = await run(['run', '--ttl', '2h', '--', 'true']);
  expect(code).toBe(64);
  expect(stderr).toContain('3600000 ms');
  expect(events.at(-2)).toMatchObject({ event: 'error', code: 'USAGE' });
  expect((await run(['run', '--ttl', '1h', '--', 'true'])).code).toBe(0);
});

test('an extension longer than the limit is refused inside the command: 64, and the lease is unchanged', async () => {
  const extend = ['run', '--', NODE, CLI, 'extend', '--ttl', '61m'];
  const { code, stderr, events } = await run(extend);
  expect(code).toBe(64);
  expect(stderr).toContain('3600000 ms');
  expect(events.map(({ event }) => event)).not.toContain('lease.extended');
});

test('the library refuses a lease longer than the limit', async () => {
  const { MigrationLock } = await import('../../../src/index.js');
  const lock = new MigrationLock({ connection: stage.app.url, ttlMs: 3_600_001 });
  await expect(lock.acquire()).rejects.toMatchObject({ code: 'USAGE', exitCode: 64 });
});

test('a run key or an instance id that is too long for an index is refused with its limit', async () => {
  const app = stage.as(stage.app);
  const tooLong = { p_run_key: 'k'.repeat(2601), p_command_sha256: 'x' };
  await expect(poll(app, tooLong)).rejects.toMatchObject({
    code: 'ML001',
    message: expect.stringContaining('2600 bytes'),
  });
  await expect(poll(app, { p_instance_id: 'a'.repeat(201) })).rejects.toMatchObject({ code: 'ML001' });
  await expect(poll(app, { p_secret: 'a'.repeat(201) })).rejects.toMatchObject({ code: 'ML001' });
});

test('a command and a host that are too long are cut, not refused', async () => {
  const app = stage.as(stage.app);
  const client = { p_command: 'c'.repeat(40_000), p_host: 'h'.repeat(40_000) };
  await poll(app, { p_instance_id: 'long', ...client });
  const [row] = await stage.db.sql`
    SELECT length(command) AS command, length(host) AS host FROM migrate_lock.migration_lock`;
  expect(row).toEqual({ command: 2_000, host: 255 });
  await release(app, 'long', 's');
});

test.each(['p_host', 'p_command'])(
  'an excessive %s is refused before anything is locked or written',
  async (name) => {
    const huge = { [name]: 'c'.repeat(60_000_000) };
    expect(await sqlState(poll(stage.as(stage.app), huge))).toBe('ML001');
  },
);
