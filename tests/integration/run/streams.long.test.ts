import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { waitUntilGone } from '../../support/processes.js';
import { CLI, NODE } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, DATABASE_URL: db.url, NODE, CLI };
}

/** Runs a shell line in which $NODE $CLI is the program. */
async function shell(line: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const out = openSync(join(folder, 'out'), 'w');
  const err = openSync(join(folder, 'err'), 'w');
  const child = spawn('bash', ['-c', line], { env: environment(), stdio: ['ignore', out, err], cwd: folder });
  closeSync(out);
  closeSync(err);
  const [code] = (await once(child, 'exit')) as [number | null];
  return {
    code,
    stdout: readFileSync(join(folder, 'out'), 'utf8'),
    stderr: readFileSync(join(folder, 'err'), 'utf8'),
  };
}

async function isFree(): Promise<boolean> {
  const [row] = await db.sql`SELECT released_at IS NOT NULL AS free FROM migrate_lock.migration_lock`;
  return row?.free === true;
}

describe('stdout', () => {
  test('can be piped into a program that reads JSON, whatever the child prints', async () => {
    const reader = `process.stdin.setEncoding('utf8'); let text = ''; process.stdin.on('data', (d) => (text += d)).on('end', () => console.log(text.trim().split('\\n').map((l) => JSON.parse(l).event).join(' ')))`;
    const { stdout, code } = await shell(
      `set -o pipefail; "$NODE" "$CLI" run -- sh -c 'echo not JSON; exit 3' | "$NODE" -e "${reader.replaceAll('"', '\\"').replaceAll('$', '\\$')}"`,
    );
    expect(code).toBe(3);
    expect(stdout.trim()).toBe(
      'schema.applied lock.acquired child.started child.exited lock.released run.finished',
    );
  });

  test('that is closed early loses lines, but affects neither the child nor the lock', async () => {
    const { code } = await shell(
      `"$NODE" "$CLI" run -- sh -c 'sleep 0.3; touch done; exit 4' | head -1; exit \${PIPESTATUS[0]}`,
    );
    expect(code).toBe(4);
    readFileSync(join(folder, 'done'));
    expect(await isFree()).toBe(true);
  });

  test('on a full disk loses lines, but affects neither the child nor the lock', async () => {
    const { code } = await shell(`"$NODE" "$CLI" run -- sh -c 'exit 5' > /dev/full`);
    expect(code).toBe(5);
    expect(await isFree()).toBe(true);
  });

  test('that is closed from the start changes nothing', async () => {
    const { code } = await shell(`"$NODE" "$CLI" run -- sh -c 'exit 6' >&- 2>&-`);
    expect(code).toBe(6);
    expect(await isFree()).toBe(true);
  });
});

describe.each(['stdout', 'stderr'] as const)('a stalled reader of %s', (stream) => {
  test.each(['pipe', 'socket'])('behind a %s delays neither the deadline nor the release', async (kind) => {
    // A child that fills the pipe of its stderr, which is also migrate-lock's, and continues.
    const command = [
      'sh',
      '-c',
      'trap "" PIPE; (while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done) & sleep 1000',
    ];
    const redirected = stream === 'stdout' ? ['--child-stdout', 'stdout'] : [];
    const args = [CLI, 'run', ...redirected, '--ttl', '8s', '--kill-grace', '200ms', '--', ...command];
    const file = openSync(join(folder, 'other'), 'w');
    const program =
      kind === 'socket'
        ? spawn(NODE, args, {
            env: environment(),
            stdio: stream === 'stdout' ? ['ignore', 'pipe', file] : ['ignore', file, 'pipe'],
          })
        : spawn(
            'bash',
            [
              '-c',
              `mkfifo stalled; exec 3<>stalled; exec "$NODE" "$@" ${stream === 'stdout' ? '1' : '2'}>stalled 3<&-`,
              'bash',
              ...args,
            ],
            { env: { ...environment() }, cwd: folder, stdio: ['ignore', file, file] },
          );
    closeSync(file);
    // Nothing reads the pipe, the test included.
    program.stdout?.pause();
    program.stderr?.pause();
    const holder =
      kind === 'pipe'
        ? openSync(await waitFor('the fifo', () => openable(join(folder, 'stalled'))), 'r+')
        : undefined;
    const [code] = (await once(program, 'exit')) as [number | null];
    expect(code).toBe(124);
    const [row] = await db.sql`
      SELECT details ->> 'late' AS late FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released'`;
    expect(row).toEqual({ late: 'false' });
    if (program.pid !== undefined) await waitUntilGone(program.pid);
    if (holder !== undefined) closeSync(holder);
    program.stdout?.destroy();
    program.stderr?.destroy();
  });
});

/** Throws while the file does not exist. */
function openable(path: string): string {
  closeSync(openSync(path, 'r+'));
  return path;
}
