/** Real runs, and everything that others can read of them: neither the password nor any lease's secret is in it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { watchFamily, type FamilyWatch } from '../../support/family-watch.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli } from '../../support/run-cli.js';
import { leaksIn, type Evidence } from '../../support/secret-forms.js';
import { pollInSql } from '../../support/poll-in-sql.js';
import { waitFor } from '../../support/wait-for.js';
import { isOneOf, openStage, outputsOf, PASSWORD, type Stage } from './stage.js';

let stage: Stage;
let evidence: Evidence[];
let watches: FamilyWatch[];

beforeAll(async () => {
  stage = await openStage();
});
beforeEach(() => {
  evidence = [];
  watches = [];
});
afterEach(async () => {
  for (const watch of watches) watch.stop();
  await assertNothingLeft();
  await stage.db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => stage.close());

/** Found in data that a process shows to others, so that the watch is known to work. */
const CANARY = 'canary-in-the-environment';
const settings = (env: Record<string, string> = {}) => ({
  env: { MIGRATE_LOCK_DATABASE_URL_FILE: stage.urlFile, CANARY, CLI, NODE, ...env },
});
const start = (...args: string[]) => {
  const cli = startCli(['run', ...args], settings());
  watches.push(watchFamily(cli.pid));
  return cli;
};
const ask = async (...args: string[]) => {
  const result = await runCli(args, { ...settings(), auditOnly: false });
  evidence.push(...outputsOf(args.join(' '), result));
  return result;
};

/** The watches' data is searched too. */
async function expectNoSecret({ leases = true } = {}): Promise<void> {
  const seen = watches.flatMap((watch) => watch.evidence());
  if (watches.length > 0) expect(seen.some(({ text }) => text.includes(CANARY))).toBe(true);
  const secrets = stage.leaseSecrets();
  if (leases) expect(secrets.length).toBeGreaterThan(0);
  const rows = await stage.rows();
  expect(leaksIn([...evidence, ...seen, ...rows], [PASSWORD, ...secrets])).toEqual([]);
}

const commandsSeen = () =>
  watches.flatMap((watch) => watch.evidence()).filter(({ where }) => where.endsWith('cmdline'));

test('a run with status, extend and a nested run', async () => {
  const inside =
    '"$NODE" "$CLI" extend --ttl 2m && "$NODE" "$CLI" assert && "$NODE" "$CLI" run -- sleep 1000';
  const metrics = join(stage.folder, 'metrics.prom');
  const holder = start('--once', 'key', '--metrics-file', metrics, '--', 'sh', '-c', inside);
  await holder.waitForEvent('lease.extended');
  await waitFor('the inner run', () => holder.stderr().includes('running sleep 1000'));
  expect((await ask('run', '--wait-timeout', '0', '--', 'true')).code).toBe(75);
  const waiter = start('--', 'true');
  await waiter.waitForEvent('lock.waiting');
  for (const watch of watches) watch.look();
  for (const args of [
    ['status'],
    ['status', '--json'],
    ['history'],
    ['history', '--json'],
    ['unlock'],
    ['cleanup'],
  ])
    await ask(...args);
  await ask('unlock', '--force', '--instance', 'another');
  expect(await isOneOf(stage.leaseSecrets(), stage.db)).toBe(true);
  evidence.push(...(await stage.rows())); // the waiter's too
  holder.kill('SIGTERM');
  evidence.push(...outputsOf('the holder', await holder.done), ...outputsOf('the waiter', await waiter.done));
  evidence.push({ where: 'the metrics', text: readFileSync(metrics, 'utf8') });
  // The holder, its guard, the shell, its inner runs, their guard and child.
  expect(new Set(commandsSeen().map(({ where }) => where)).size).toBeGreaterThanOrEqual(7);
  expect(stage.leaseSecrets().length).toBeGreaterThanOrEqual(3);
  await expectNoSecret();
});

test('a killed holder whose guard releases', async () => {
  const holder = start('--', 'sleep', '1000');
  await holder.waitForEvent('child.started');
  watches[0]?.look();
  expect(await isOneOf(stage.leaseSecrets(), stage.db)).toBe(true);
  holder.kill('SIGKILL');
  await waitFor('the release by the guard', async () => {
    const rows = await stage.db.sql`
      SELECT FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' AND details ->> 'by' = 'guard'`;
    return rows.length > 0;
  });
  evidence.push(...outputsOf('the holder', await holder.done));
  expect(commandsSeen().some(({ text }) => text.includes('release-after-crash'))).toBe(true);
  await expectNoSecret();
});

test('a takeover, a deadline and an unlock', async () => {
  await ask('init');
  await pollInSql(stage.db.sql, 'before', { ttlMs: 1 });
  const late = start('--ttl', '2s', '--kill-grace', '200ms', '--', 'sleep', '1000');
  const { code, events, ...outputs } = await late.done;
  expect(code).toBe(124);
  expect(events.map(({ event }) => event)).toEqual(
    expect.arrayContaining(['lock.takeover', 'child.deadline']),
  );
  evidence.push(...outputsOf('the late one', { code, events, ...outputs }));
  const broken = start('--', 'sleep', '1000');
  const { instanceId } = await broken.waitForEvent('child.started');
  expect((await ask('unlock', '--force', '--instance', instanceId)).code).toBe(0);
  broken.kill('SIGTERM');
  evidence.push(...outputsOf('the broken one', await broken.done));
  await expectNoSecret();
});

test('init, init --print and cleanup', async () => {
  for (const args of [['init', '--print'], ['init'], ['init'], ['cleanup', '--keep', '1d'], ['status']]) {
    expect((await ask(...args)).code).toBe(0);
  }
  await expectNoSecret({ leases: false });
});

test('a password as a plain word of the command', async () => {
  // A user who writes it there has shown it to the machine; migrate-lock does not pass it on.
  const { code, ...outputs } = await runCli(
    ['run', '--once', 'k', '--', 'true', PASSWORD, `x${PASSWORD}y`, JSON.stringify([PASSWORD])],
    settings(),
  );
  expect(code).toBe(0);
  expect(outputs.stderr).toContain('running true');
  evidence.push(...outputsOf('the run', { code, ...outputs }));
  await ask('status');
  await ask('history');
  await expectNoSecret();
});

test('a password in PGPASSWORD, in a password file and in the URL', async () => {
  const { hostname, port } = new URL(stage.url);
  const passfile = join(stage.folder, 'pgpass');
  const escaped = PASSWORD.replace(/[\\:]/g, '\\$&');
  writeFileSync(passfile, `*:*:*:*:${escaped}\n`, { mode: 0o600 });
  const named = { PGHOST: hostname, PGPORT: port, PGDATABASE: stage.db.name, PGUSER: stage.user };
  for (const env of [
    { ...named, PGPASSWORD: PASSWORD },
    { ...named, PGPASSFILE: passfile },
    { DATABASE_URL: stage.url },
  ]) {
    const result = await runCli(['run', '--', 'true', PASSWORD], { env });
    expect(result.code).toBe(0);
    evidence.push(...outputsOf(Object.keys(env).join(), result));
  }
  await expectNoSecret();
});

test('the library: its events, its errors, and its inspected objects', async () => {
  await ask('init');
  // Only a request that has reached the server can fail there, with the secret among its parameters.
  await stage.db.sql.unsafe(`
    CREATE FUNCTION public.refuse_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON migrate_lock.migration_lock
       FOR EACH ROW WHEN (NEW.expires_at > NEW.locked_at + interval '1 hour') EXECUTE FUNCTION public.refuse_long()`);
  const library = pathToFileURL(join(CLI, '..', 'index.js')).href;
  const program = `
    import { readFileSync } from 'node:fs';
    import { inspect } from 'node:util';
    import postgres from 'postgres';
    import { MigrationLock, withMigrationLock } from '${library}';
    const connection = readFileSync(process.env.URL_FILE, 'utf8');
    const show = (value) => console.log(inspect(value, { depth: null, showHidden: true }), JSON.stringify(value));
    const lock = new MigrationLock({ connection, onEvent: show, command: connection });
    await lock.acquire();
    show([lock, lock.lease, await lock.status()]);
    await new MigrationLock({ connection, waitTimeoutMs: 100, onEvent: show }).wait().catch((error) => show([error, error.stack]));
    await lock.release();
    const shown = (error) => show([error, error.stack]);
    await new MigrationLock({ connection, ttlMs: 7_200_000 }).acquire().catch(shown);
    const sql = postgres(connection, { debug: true, max: 1 });
    await new MigrationLock({ connection: sql, ttlMs: 7_200_000 }).acquire().catch(shown);
    await sql.end();
    const wrong = connection.replace(':hunter2', ':wrong');
    await new MigrationLock({ connection: wrong, waitTimeoutMs: 0 }).acquire().catch((error) => show([error, error.stack]));
    try { new MigrationLock({ connection: connection.replace('127.0.0.1', '#') }); } catch (error) { show([error, error.stack]); }
    console.log('to the end');`;
  const result = await runCli(['--input-type=module', '-e', program], {
    program: [],
    auditOnly: false,
    env: { URL_FILE: stage.urlFile },
  });
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toMatch(
    /LockWaitTimeoutError[^]*DATABASE_FAULT[^]*DATABASE_FAULT[^]*DATABASE_REFUSED[^]*USAGE[^]*to the end/,
  );
  evidence.push(...outputsOf('the library', result));
  await expectNoSecret();
});
