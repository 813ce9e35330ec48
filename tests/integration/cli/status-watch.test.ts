/** The sessions of the lease in `status`, and `status --watch`. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import type { SessionActivity } from '../../../src/events/events.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli } from '../../support/run-cli.js';
import { isAlive } from '../../support/processes.js';
import { screenOf } from '../../support/screen.js';
import { waitFor } from '../../support/wait-for.js';

const hasTerminals =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

let server: EmbeddedServer;
let instanceId: string;
let sessions: postgres.Sql[] = [];

beforeAll(async () => {
  server = await startServer();
});
beforeEach(async () => {
  const lock = await openLock(server.url);
  ({
    me: { instanceId },
  } = await tryToAcquire(lock, { ttlMs: 600_000 }));
  lock.database.disconnect();
  sessions = [];
});
afterEach(async () => {
  await Promise.all(sessions.map((sql) => sql.end({ timeout: 0 })));
  await assertNothingLeft();
  const sql = session('a test');
  await sql.unsafe('DROP SCHEMA migrate_lock CASCADE; DROP TABLE IF EXISTS orders');
  await sql.end();
});
afterAll(() => server.stop());

function session(name: string): postgres.Sql {
  const sql = postgres(server.url, {
    max: 1,
    onnotice: () => undefined,
    connection: { application_name: name },
  });
  sessions.push(sql);
  return sql;
}

/** The command waits for a table that another session, with hostile names, keeps. */
async function block(): Promise<void> {
  const web = session('web\u001b[2J');
  await web.unsafe('CREATE TABLE orders (id int)');
  await web.unsafe('BEGIN; SELECT FROM orders');
  const migration = session(`migrate-lock:${instanceId}`);
  migration.unsafe("ALTER TABLE orders ADD COLUMN a text DEFAULT 'a secret'").catch(() => undefined);
}

const env = () => ({ DATABASE_URL: server.url });
const status = (...args: string[]) => runCli(['status', ...args], { env: env(), auditOnly: false });
interface Told {
  sessions: SessionActivity[] | null;
  error?: { code: string };
}

/** A line of the shell in a terminal of its own, and what it has written so far. */
function inTerminal(shell: string) {
  const script = spawn('script', ['-qfc', shell, '/dev/null'], {
    env: { PATH: process.env.PATH, SHELL: '/bin/sh', TERM: 'xterm', ...env(), NODE, CLI },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  let output = '';
  script.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  return { script, output: () => output };
}

describe('status', () => {
  test('shows the sessions of the lease, and what is in their way, as text and as JSON', async () => {
    expect((await status()).stdout).toContain('Its command has no database session here.');
    await block();
    await waitFor('it waits', async () => (await status('--json')).stdout.includes('"waiting":{'));
    const { stdout } = await status();
    expect(stdout).toMatch(/^ {2}pid +role +client +state +for +wait event$/m);
    expect(stdout).toMatch(/^ {2}\d+ +postgres +\S+ +active +\S+ +Lock: relation$/m);
    expect(stdout).toContain('ALTER TABLE orders ADD COLUMN a text DEFAULT ?');
    expect(stdout).toMatch(/held by pid \d+ \(web\S*, role postgres, idle in transaction for \S+\)$/m);
    expect(stdout).toMatch(/^ {2}left +\[#+-*\] \S+ .*of 10m$/m);
    expect(stdout).not.toContain('secret');
    expect(stdout).not.toContain('\u001b');
    const told = JSON.parse((await status('--json')).stdout) as Told;
    expect(told.sessions).toMatchObject([
      {
        role: 'postgres',
        waiting: { object: 'public.orders', blockers: [{ state: 'idle in transaction' }] },
      },
    ]);
    expect(JSON.stringify(told)).not.toContain('secret');
  });

  test('is coloured on request', async () => {
    const { stdout } = await runCli(['status'], { env: { ...env(), FORCE_COLOR: '1' }, auditOnly: false });
    expect(stdout).toContain('\u001b[33mheld\u001b[39m');
    expect((await status('--json')).stdout).not.toContain('\u001b');
  });
});

describe('status --watch', () => {
  test('prints one JSON object a line, survives a restart of the database, and ends with SIGINT', async () => {
    const watching = startCli(['status', '--watch', '200ms', '--json'], { env: env(), auditOnly: false });
    const lines = () =>
      watching
        .stdout()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Told);
    await waitFor('two rounds', () => lines().length >= 2);
    await server.kill();
    await waitFor('it says that the database cannot be used', () =>
      lines().some(({ error }) => error !== undefined),
    );
    await server.start();
    await waitFor('it has an answer again', () => lines().at(-1)?.error === undefined);
    expect(lines().at(-1)).toMatchObject({ state: 'held', lease: { instanceId } });
    watching.kill('SIGINT');
    expect(await watching.done).toMatchObject({ signal: 'SIGINT', stderr: '' });
  });

  test('opens no port of a debugger at SIGUSR1', async () => {
    const watching = startCli(['status', '--watch', '200ms', '--json'], { env: env(), auditOnly: false });
    const rounds = () => watching.stdout().split('\n').length;
    await waitFor('a round', () => rounds() > 1);
    watching.kill('SIGUSR1');
    const before = rounds();
    await waitFor('two more rounds', () => rounds() > before + 1);
    watching.kill('SIGTERM');
    expect(await watching.done).toMatchObject({ signal: 'SIGTERM', stderr: '' });
  });

  test('ends when its reader has gone', async () => {
    const shell = spawn('sh', ['-c', '"$NODE" "$CLI" status --watch 200ms --json | head -n 1'], {
      env: { ...process.env, ...env(), NODE, CLI, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // A pipeline ends when all of it has ended.
    const [code] = (await once(shell, 'exit')) as [number | null];
    expect(code).toBe(0);
  });

  test('ends when the reader of a socket has gone', async () => {
    const watching = spawn(NODE, [CLI, 'status', '--watch', '200ms', '--json'], {
      env: { ...process.env, ...env(), NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(watching.stdout, 'data');
    watching.stdout.destroy();
    await waitFor('the end', () => watching.exitCode !== null).finally(() => watching.kill('SIGKILL'));
    expect(watching.exitCode).toBe(0);
  });

  (hasTerminals ? test : test.skip)(
    'ends in the background when its terminal was closed (skipped where script(1) is missing)',
    async () => {
      // The system ends the jobs in the foreground only.
      const shell = 'set -m; "$NODE" "$CLI" status --watch 200ms & echo pid=$!; wait';
      const { script, output } = inTerminal(shell);
      await waitFor('some rounds', () => output().split('The lock of').length > 2);
      const pid = Number(/pid=(\d+)/.exec(output())?.[1]);
      script.kill('SIGKILL');
      await waitFor('the end', () => !isAlive(pid)).finally(
        () => isAlive(pid) && process.kill(pid, 'SIGKILL'),
      );
    },
  );

  test.each([
    [['status', '--watch', 'soon'], 'is not a duration'],
    [['status', '--watch', '0'], 'must be longer than 0'],
    [['status', '--watch='], 'is not a duration'],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await runCli(args, { env: env(), auditOnly: false });
    expect(code).toBe(64);
    expect(stderr).toContain(message);
  });

  test('without an answer at first, it fails as status does', async () => {
    const { code } = await runCli(['status', '--watch'], {
      env: { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/db' },
      auditOnly: false,
    });
    expect(code).toBe(69);
  });

  (hasTerminals ? test : test.skip)(
    'redraws in place on a terminal, within its size (skipped where script(1) is missing)',
    async () => {
      await block();
      const shell = 'stty cols 60 rows 12; "$NODE" "$CLI" status --watch 200ms; echo "code=$?"';
      const { script, output } = inTerminal(`trap : INT; ${shell}`);
      const rounds = () => output().split('\u001b[0J').length;
      await waitFor('some rounds', () => rounds() > 4);
      const shown = screenOf(output());
      expect(shown.filter((line) => line.includes('The lock of'))).toHaveLength(1);
      expect(shown.length).toBeLessThanOrEqual(12);
      for (const line of shown) expect(line.length).toBeLessThanOrEqual(60);
      script.stdin.write('\u0003');
      await once(script, 'exit');
      expect(output()).toContain('code=130');
    },
  );
});
