/**
 * Runs the scripts of examples/entrypoint as the first process of a container, which gets SIGTERM when the container is
 * stopped: a process namespace where that is permitted, the plain process elsewhere.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { EXAMPLES } from './examples.js';

const NAMESPACE = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
const mayUnshare =
  process.platform === 'linux' && spawnSync(NAMESPACE[0] ?? '', [...NAMESPACE.slice(1), 'true']).status === 0;
const GIT_SHA = '3f2a9c1';

let db: TestDatabase;
let folder: string;

beforeEach(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-entrypoint-'));
  program('migrate-lock', `exec '${NODE}' '${CLI}' "$@"`);
  program('server', untilTerm('server'));
});

afterEach(async () => {
  await assertNothingLeft();
  rmSync(folder, { recursive: true });
  await db.drop();
});

describe.each(['migrate.sh', 'migrate-then-serve.sh'])('%s', (script) => {
  test('passes SIGTERM on to the migration once, and ends as it does', async () => {
    program('knex', untilTerm('knex'));
    const container = startScript(script);
    await waitFor('the migration', () => existsSync(join(folder, 'knex.started')));
    process.kill(firstProcess(container.pid), 'SIGTERM');
    expect(await container.done).toMatchObject({ code: 143 });
    expect(read('knex.signals')).toBe('TERM\n');
    expect(existsSync(join(folder, 'server.started'))).toBe(false);
    expect(await locksHeld()).toBe(0);
  });

  test('fails with the exit code of the migration, and starts no server', async () => {
    program('knex', 'exit 7');
    expect(await startScript(script).done).toMatchObject({ code: 7 });
    expect(existsSync(join(folder, 'server.started'))).toBe(false);
  });
});

test('migrate.sh exits 0 when the migration has succeeded', async () => {
  program('knex', 'exit 0');
  expect(await startScript('migrate.sh').done).toMatchObject({ code: 0 });
});

describe.each(['migrate-then-serve.sh', 'wait-then-serve.sh'])('%s', (script) => {
  test('becomes the server, which gets SIGTERM', async () => {
    program('knex', 'exit 0');
    const migrated = ['run', '--once', GIT_SHA, '--', 'knex', 'migrate:latest'];
    if (script === 'wait-then-serve.sh')
      expect(await runCli(migrated, { env: environment() })).toMatchObject({ code: 0 });
    const container = startScript(script);
    await waitFor('the server', () => existsSync(join(folder, 'server.started')));
    if (mayUnshare && script === 'migrate-then-serve.sh') expect(read('server.started')).toBe('1\n');
    process.kill(firstProcess(container.pid), 'SIGTERM');
    expect(await container.done).toMatchObject({ code: 143 });
    expect(read('server.signals')).toBe('TERM\n');
  });
});

const read = (name: string) => readFileSync(join(folder, name), 'utf8');

async function locksHeld(): Promise<number> {
  const rows = await db.sql`SELECT FROM migrate_lock.migration_lock WHERE expires_at > clock_timestamp()`;
  return rows.length;
}

/** A program that notes each SIGTERM, and ends with the first. */
function untilTerm(name: string): string {
  return (
    `trap 'echo TERM >>"${folder}/${name}.signals"; exit 143' TERM\n` +
    `echo $$ >"${folder}/${name}.started"\n` +
    'while :; do sleep 0.1; done'
  );
}

function program(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

const environment = () => ({
  PATH: [folder, process.env.PATH].join(delimiter),
  DATABASE_URL: db.url,
  GIT_SHA,
});

/** `node` waits for the script, and exits as it does. */
function startScript(script: string): RunningCli {
  const words = [...(mayUnshare ? NAMESPACE : []), join(EXAMPLES, 'entrypoint', script), 'server'];
  const handOver = `
    const { spawn } = require('node:child_process');
    const [file, ...args] = process.argv.slice(1);
    spawn(file, args, { stdio: 'inherit' }).on('exit', (code) => { process.exitCode = code ?? 255; });`;
  return startCli(words, {
    program: ['-e', handOver],
    auditOnly: false,
    cwd: folder,
    env: environment(),
  });
}

/** The container's first process: the child of `unshare`, which is the child of `node`. */
function firstProcess(node: number): number {
  const childOf = (pid: number) =>
    Number(spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }).stdout.trim());
  return mayUnshare ? childOf(childOf(node)) : childOf(node);
}
