/** Rows that another client may write, through the SQL functions or by hand, and their output to others. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { commandIdentity } from '../../../src/redact/command-identity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { HOSTILE, RAW_CONTROL_IN_LINES } from '../../support/hostile-text.js';
import { openLock } from '../../support/lock.js';
import { pollInSql } from '../../support/poll-in-sql.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

const sqlState = (work: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(work).then(
    () => 'done',
    (error: unknown) => (error as { code: string }).code,
  );

const TEXT = HOSTILE.join(' ');
let db: TestDatabase;
let attacker: postgres.Sql;

beforeAll(async () => {
  db = await createDatabase();
  // PostgreSQL reduces a session's name to printable ASCII. It is sent nevertheless.
  const connection = { application_name: `migrate-lock:${TEXT}`.replaceAll('\0', '') };
  attacker = postgres(db.url, { max: 1, onnotice: () => undefined, connection });
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await attacker.end({ timeout: 1 });
  await db.drop();
});

const ask = (...args: string[]) => runCli(args, { env: { DATABASE_URL: db.url }, auditOnly: false });
const applySchema = async () => (await openLock(db.url)).database.disconnect();

/** As a client that reports this about itself, or as the owner by hand. */
async function storeRun(key: string, run: { succeeded: boolean; exitCode: number; durationMs: number }) {
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_run VALUES (
      ${key}, ${commandIdentity(['true'])}, ${run.succeeded}, ${run.exitCode}, now(), ${run.durationMs},
      ${`${TEXT}${key}`}, 1, ${TEXT}, 'app', ${TEXT})`;
}

/** All commands that show the lock. Every line of a run's stdout is an event of the schema, or runCli() throws. */
async function lookEverywhere(): Promise<{ code: number | null; text: string }[]> {
  const runs = [
    await ask('status'),
    await ask('status', '--json'),
    await ask('history', '--limit', '100'),
    await ask('history', '--limit', '100', '--json'),
    await ask('unlock'),
    await ask('unlock', '--force', '--instance', 'somebody'),
    await runCli(['run', '--wait-timeout', '0', '--', 'true'], { env: { DATABASE_URL: db.url } }),
    await runCli(['run', '--wait-timeout', '300ms', '--once', 'k', '--', 'true'], {
      env: { DATABASE_URL: db.url },
    }),
  ];
  return runs.map(({ code, stdout, stderr }) => ({ code, text: stdout + stderr }));
}
const OF_A_HELD_LOCK = [0, 0, 0, 0, 75, 75, 75, 75];

async function expectHarmless(codes: number[]): Promise<void> {
  const told = await lookEverywhere();
  for (const { text } of told) expect(text).not.toMatch(RAW_CONTROL_IN_LINES);
  expect(told.map(({ code, text }) => [code, /internal error|Invalid time/.exec(text)?.[0]])).toEqual(
    codes.map((code) => [code, undefined]),
  );
}

describe('rows written through the functions', () => {
  test.each([
    ['hostile text in every column', TEXT, { host: TEXT, pid: -1, command: TEXT, runKey: TEXT }],
    ['JSON in text columns', 'a', { host: '{}', pid: 2 ** 31 - 1, command: '["a"]', runKey: 'null' }],
    ['empty columns', 'a', {}],
    ['empty text', '', { host: '', pid: 0, command: '', runKey: '' }],
    ['long values', 'a'.repeat(2_000), { host: '\u001b[2J'.repeat(50), command: '\u009b'.repeat(1_000) }],
  ])('%s', async (_, instanceId, client) => {
    await applySchema();
    const { runKey = null, ...rest } = client as { runKey?: string };
    const hostile = { client: rest, runKey, ttlMs: 600_000, isLast: false };
    // A refusal is fine too; then an ordinary client has the lock.
    await pollInSql(attacker, instanceId, hostile).catch(() => pollInSql(attacker, 'b', { ttlMs: 600_000 }));
    await pollInSql(attacker, `w${instanceId}`, hostile).catch(() => undefined);
    await attacker`SELECT migrate_lock.release(${TEXT.slice(0, 100)}, 'wrong', 'holder', 'ignore', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`;
    await attacker`SELECT migrate_lock.unlock(${TEXT.slice(0, 100)}, false, false, 'ignore', NULL)`;
    await expectHarmless(OF_A_HELD_LOCK);
  });

  test('a lease whose end no date can represent can be shown, taken over and unlocked', async () => {
    await applySchema();
    expect(await sqlState(pollInSql(attacker, 'a', { ttlMs: 8_700_000_000_000_000 }))).toBe('ML001');
    await pollInSql(attacker, 'a');
    await db.sql`UPDATE migrate_lock.migration_lock SET expires_at = '294000-01-01'`;
    await expectHarmless(OF_A_HELD_LOCK);
    expect((await ask('status')).stdout).toContain('9999-12-31T23:59:59.999Z');
    expect(await ask('unlock', '--force', '--instance', 'a')).toMatchObject({ code: 0 });
    expect((await runCli(['run', '--', 'true'], { env: { DATABASE_URL: db.url } })).code).toBe(0);
  });
});

test('an invalid result of a run key never counts as a success', async () => {
  await applySchema();
  for (const [key, run] of [
    ['k256', { succeeded: false, exitCode: 256, durationMs: -5 }],
    ['k0', { succeeded: false, exitCode: 0, durationMs: 1 }],
    ['k-1', { succeeded: false, exitCode: -1, durationMs: 1 }],
    ['k9', { succeeded: true, exitCode: 9, durationMs: 1 }],
  ] as const) {
    await storeRun(key, run);
    const { code, stdout, stderr } = await runCli(
      ['run', '--once', key, '--on-failure', 'fail', '--', 'true'],
      {
        env: { DATABASE_URL: db.url },
      },
    );
    expect([key, code]).toEqual([key, run.succeeded ? 0 : 1]);
    expect(stdout + stderr).not.toMatch(RAW_CONTROL_IN_LINES);
  }
});

test('history rows that were inserted by hand', async () => {
  await applySchema();
  const details = [null, 7, TEXT, [TEXT], { [TEXT]: { [TEXT]: TEXT } }];
  for (const value of details) {
    await db.sql`
      INSERT INTO migrate_lock.migration_lock_audit (event, instance_id, db_role, application_name, details)
      VALUES (${TEXT}, ${TEXT}, ${TEXT}, ${TEXT}, ${JSON.stringify(value)}::text::jsonb)`;
  }
  for (const args of [['history'], ['history', '--json']]) {
    const { code, stdout } = await ask(...args);
    expect(code).toBe(0);
    expect(stdout.split('\n')).toHaveLength(details.length + 1);
    expect(stdout).not.toMatch(RAW_CONTROL_IN_LINES);
  }
});
