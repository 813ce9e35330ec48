import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { serverUrl, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { runCli, startCli, type CliResult } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

const KEY = 'release 1';
const env = (url = db.url) => ({ DATABASE_URL: url });
const wait = (...args: string[]) => startCli(['wait', '--once', KEY, ...args], { env: env() });
const EXIT = ['--', 'sh', '-c', 'exit "${EXIT:-0}"'];
const runOnce = (exit = 0) =>
  runCli(['run', '--once', KEY, ...EXIT], { env: { ...env(), EXIT: String(exit) } });
const finished = ({ events }: CliResult) => events.find(({ event }) => event === 'wait.finished');
const watchers = async () => {
  const [row] = await db.sql<
    { n: number }[]
  >`SELECT count(*)::int AS n FROM migrate_lock.migration_lock_watcher`;
  return row?.n;
};

describe('migrate-lock wait', () => {
  test('exits with 0 at once when the work is done, and writes nothing to the lock', async () => {
    const { events } = await runOnce();
    const [before] = await db.sql`SELECT count(*) FROM migrate_lock.migration_lock_audit`;
    const waited = await wait('--wait-timeout', '0').done;
    expect(waited).toMatchObject({ code: 0 });
    expect(waited.events.map(({ event }) => event)).toEqual(['wait.started', 'wait.finished']);
    expect(finished(waited)).toMatchObject({
      ...{ runKey: KEY, outcome: 'succeeded', exitCode: 0, looks: 1 },
      run: { instanceId: events[0]?.instanceId, command: `sh -c 'exit "\${EXIT:-0}"'` },
    });
    expect(waited.stderr).toContain(`the work of ${KEY} was done by`);
    expect(await db.sql`SELECT count(*) FROM migrate_lock.migration_lock_audit`).toEqual([before]);
    expect(await watchers()).toBe(0);
  });

  test('waits for a lock schema, a first run, a failure and a retry; status counts it meanwhile', async () => {
    const waiting = wait();
    await waiting.waitForEvent('wait.started');
    expect(await runOnce(3)).toMatchObject({ code: 3 });
    await waitFor('it is announced', async () => (await watchers()) === 1);
    const { stdout } = await runCli(['status'], { env: env(), auditOnly: false });
    expect(stdout).toContain('1 waits for a run key');
    expect(waiting.events().some(({ event }) => event === 'wait.finished')).toBe(false);
    expect(await runOnce(0)).toMatchObject({ code: 0 });
    expect(await waiting.done).toMatchObject({ code: 0 });
    expect(await watchers()).toBe(0);
  });

  test('waits for a database that does not exist yet', async () => {
    const name = `${db.name}_later`;
    const url = new URL(serverUrl());
    url.pathname = `/${name}`;
    const waiting = startCli(['wait', '--once', KEY], { env: env(url.href) });
    await waiting.waitForEvent('database.unavailable', ({ code }) => code === '3D000');
    await db.sql.unsafe(`CREATE DATABASE ${name}`);
    try {
      await runCli(['run', '--once', KEY, '--', 'true'], { env: env(url.href) });
      expect(await waiting.done).toMatchObject({ code: 0 });
    } finally {
      await db.sql.unsafe(`DROP DATABASE ${name}`);
    }
    expect(
      await runCli(['wait', '--once', KEY, '--wait-timeout', '0'], { env: env(url.href) }),
    ).toMatchObject({ code: 78, stderr: expect.stringContaining('does not exist') });
  });

  test('waits for a server that does not answer yet, until the wait timeout', async () => {
    const url = new URL(db.url);
    url.port = '1';
    const waited = await runCli(['wait', '--once', KEY, '--wait-timeout', '300ms'], { env: env(url.href) });
    expect(waited).toMatchObject({ code: 69 });
    expect(finished(waited)).toMatchObject({ outcome: 'error', exitCode: 69 });
  });

  test('keeps no session between two reads', async () => {
    await runOnce(3);
    const waiting = wait();
    await waitFor('it is announced', async () => (await watchers()) === 1);
    await waitFor('no session is left', async () => !(await db.clients()).includes('migrate-lock'));
    waiting.kill('SIGTERM');
    await waiting.done;
  });
});

describe('at the wait timeout the exit code is 75, and the sentence says', () => {
  const timedOut = (...args: string[]) => wait('--wait-timeout', '300ms', ...args).done;

  test('that no run of the key is known, without a lock schema too', async () => {
    for (const prepare of [
      () => Promise.resolve(),
      async () => (await openLock(db.url)).database.disconnect(),
    ]) {
      await prepare();
      const waited = await timedOut();
      expect(waited).toMatchObject({ code: 75, stderr: expect.stringContaining('no run of it is known') });
      expect(finished(waited)).toMatchObject({ outcome: 'timeout', exitCode: 75, run: null, holder: null });
    }
  });

  test('who holds the lock', async () => {
    const lock = await openLock(db.url);
    const { me } = await tryToAcquire(lock);
    lock.database.disconnect();
    const waited = await timedOut();
    expect(waited).toMatchObject({ code: 75, stderr: expect.stringContaining('the lock is held by') });
    expect(finished(waited)).toMatchObject({ holder: me.instanceId, holderCommand: 'a migration' });
  });

  test('what the last failure was', async () => {
    await runOnce(3);
    const waited = await timedOut();
    expect(waited).toMatchObject({ code: 75, stderr: expect.stringContaining('its last run failed on') });
    expect(finished(waited)).toMatchObject({ outcome: 'timeout', run: { exitCode: 3 } });
  });
});

describe('--on-failure fail', () => {
  test('ends with the exit code of a failure that comes during the wait', async () => {
    const waiting = wait('--on-failure', 'fail', '--failure-memory', '1ms');
    await waiting.waitForEvent('wait.started');
    await runOnce(3);
    const waited = await waiting.done;
    expect(waited).toMatchObject({ code: 3, stderr: expect.stringContaining('with exit code 3') });
    expect(finished(waited)).toMatchObject({ outcome: 'failed', exitCode: 3, run: { exitCode: 3 } });
  });

  test('counts an earlier failure for as long as --failure-memory says', async () => {
    await runOnce(3);
    const fail = (memory: string) =>
      wait('--on-failure', 'fail', '--wait-timeout', '300ms', '--failure-memory', memory).done;
    expect(await fail('1m')).toMatchObject({ code: 3 });
    await db.sql`UPDATE migrate_lock.migration_lock_run SET finished_at = finished_at - interval '61 s'`;
    expect(await fail('1m')).toMatchObject({ code: 75 });
    expect(await fail('10m')).toMatchObject({ code: 3 });
  });
});

describe('ends at once', () => {
  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('when %s arrives', async (signal, code) => {
    const waiting = wait('--', 'true');
    await waiting.waitForEvent('wait.started');
    const sentAtMs = performance.now();
    waiting.kill(signal);
    const waited = await waiting.done;
    expect(waited).toMatchObject({ code });
    expect(finished(waited)).toMatchObject({ outcome: 'interrupted', exitCode: code });
    expect(performance.now() - sentAtMs).toBeLessThan(1_000);
  });

  test('without a run key', async () => {
    expect(await runCli(['wait', '--', 'true'], { env: env() })).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('There is no run key to wait for'),
    });
  });

  test('with a command that cannot be started', async () => {
    expect(await wait('--', 'no-such-command').done).toMatchObject({ code: 127 });
    const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-wait-'));
    const file = join(folder, 'script');
    writeFileSync(file, '#!/bin/sh\n', { mode: 0o644 });
    expect(await wait('--', file).done).toMatchObject({ code: 126 });
    rmSync(folder, { recursive: true });
  });

  test('as a role that may not read the run key', async () => {
    (await openLock(db.url)).database.disconnect();
    const role = await db.createRole();
    expect(await runCli(['wait', '--once', KEY], { env: env(role.url) })).toMatchObject({ code: 77 });
  });
});
