import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { endProcess, isAlive, processesWith, signalProcess } from '../../support/processes.js';
import { assertNothingLeft, CLI, NODE, startCli, type RunningCli } from '../../support/run-cli.js';
import { screenOf } from '../../support/screen.js';
import { waitFor } from '../../support/wait-for.js';

const possible =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
/** This variable marks everything that was started in a terminal. */
const MARK = 'TEST_TERMINAL';

let db: TestDatabase;
let folder: string;
let terminal: ChildProcess | undefined;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-terminal-'));
});
afterEach(async () => {
  if (terminal?.pid !== undefined && isAlive(terminal.pid)) await endProcess(terminal.pid);
  terminal = undefined;
  for (const { pid } of processesWith(MARK, folder)) await endProcess(pid);
  rmSync(folder, { recursive: true });
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const path = (name: string) => join(folder, name);
const read = (name: string) => (existsSync(path(name)) ? readFileSync(path(name), 'utf8') : '');
const screen = () => screenOf(read('typescript').replace(/^Script started.*\n/, ''));

/** Runs a shell line in a terminal of 100 columns, in which $RUN is the run. The terminal's output is in a file. */
function inTerminal(line: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const shell = `stty cols 100 rows 24; ${line.replaceAll('$RUN', '"$NODE" "$CLI" run --wait-timeout 20s')}`;
  terminal = spawn('script', ['-qfc', shell, path('typescript')], {
    cwd: folder,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {
      ...{ PATH: process.env.PATH, SHELL: '/bin/sh', TERM: 'xterm', DATABASE_URL: db.url },
      ...{ NODE, CLI, [MARK]: folder, ...env },
    },
  });
  return terminal;
}

/** Holds the lock until it is told to end. */
async function hold(): Promise<RunningCli> {
  const holder = startCli(
    ['run', '--', 'sh', '-c', 'while [ ! -e over ]; do sleep 0.02; done', 'a migration'],
    {
      cwd: folder,
      env: { DATABASE_URL: db.url },
    },
  );
  await holder.waitForEvent('child.started');
  return holder;
}
const endHolder = async (holder: RunningCli) => {
  writeFileSync(path('over'), '');
  await holder.done;
};

const WAITING = /^waiting \d+s · held by \S+ \(sh -c .*…\) for \d+s · lease ends in \d+s/;

// script(1) of util-linux makes the terminal.
(possible ? describe : describe.skip)('on a terminal (skipped where script(1) is missing)', () => {
  test('shows a wait as one line, which it updates and then removes', async () => {
    const holder = await hold();
    const ended = once(inTerminal('$RUN -- sh -c "echo it runs; exit 3" > out; echo "code=$?"'), 'exit');
    await waitFor('the line', () => WAITING.test(screen().at(-1) ?? ''));
    await waitFor('its next seconds', () => /^waiting [2-9]s/.test(screen().at(-1) ?? ''));
    await endHolder(holder);
    await ended;
    const shown = screen().join('\n');
    expect(shown).not.toContain('waiting');
    expect(shown).toMatch(/^migrate-lock: acquired the lock after [\s\S]*\nit runs\n[\s\S]*\ncode=3$/m);
    expect(read('out')).toContain('"event":"lock.waiting"');
  });

  test('shows each event of stdout on a line of its own, and the wait on at most one', async () => {
    const holder = await hold();
    const ended = once(inTerminal('stty cols 40; $RUN -- true'), 'exit');
    await waitFor('the line, cut to the width', () => /^waiting .{25,28}…$/.test(screen().at(-1) ?? ''));
    await endHolder(holder);
    await ended;
    const ours = screen().filter((line) => line.includes('"v":1') || line.includes('migrate-lock: '));
    expect(ours.length).toBeGreaterThan(5);
    for (const line of ours) expect(line).toMatch(/^(\{"v":1.*\}|migrate-lock: .*)$/);
    expect(screen().filter((line) => line.startsWith('waiting'))).toEqual([]);
  });

  test('Ctrl-C ends the wait and removes its line', async () => {
    const holder = await hold();
    const script = inTerminal(
      'trap : INT; stty -g > before; $RUN -- true > out; echo "code=$?"; stty -g > after',
    );
    const ended = once(script, 'exit');
    await waitFor('the line', () => WAITING.test(screen().at(-1) ?? ''));
    script.stdin?.write('\x03');
    await waitFor('its end', () => screen().includes('code=130'));
    script.stdin?.end();
    await ended;
    expect(screen().filter((line) => line.includes('waiting'))).toEqual([]);
    expect(read('after')).toBe(read('before'));
    await endHolder(holder);
  });

  test('that is stopped delays neither the wait nor the run', async () => {
    const holder = await hold();
    // Fills the terminal until it accepts no more.
    const fill =
      '(until [ -e fill ]; do sleep 0.02; done; dd if=/dev/zero of=/dev/tty bs=64 oflag=nonblock; touch full)';
    const script = inTerminal(`${fill} 2> dd & $RUN -- true > out`);
    const ended = once(script, 'exit');
    await waitFor('the line', () => WAITING.test(screen().at(-1) ?? ''));
    signalProcess(script.pid ?? 0, 'SIGSTOP');
    try {
      writeFileSync(path('fill'), '');
      const full = await waitFor('a full terminal', () => existsSync(path('full')) && performance.now());
      await waitFor('two changes of the line', () => performance.now() > full + 2_200);
      await endHolder(holder);
      await waitFor('the end of the run', () => read('out').includes('"event":"run.finished"'));
    } finally {
      signalProcess(script.pid ?? 0, 'SIGCONT');
    }
    await ended;
    expect(read('out')).toContain('"outcome":"completed"');
    const [row] = await db.sql`
      SELECT count(*)::int AS released FROM migrate_lock.migration_lock_audit
      WHERE event = 'lock.released' AND details ->> 'late' = 'false'`;
    expect(row).toEqual({ released: 2 });
  });

  test.each([
    ['of a CI system', 'CI=true $RUN -- true > out'],
    ['that has no capabilities', 'TERM=dumb $RUN -- true > out'],
    ['in the background', 'set -m; $RUN -- true > out & wait'],
  ])('%s a wait is shown as plain lines', async (_, line) => {
    const holder = await hold();
    const ended = once(inTerminal(line), 'exit');
    await waitFor('a line', () =>
      screen().some((one) => one.startsWith('migrate-lock: waiting for the lock: held by')),
    );
    await endHolder(holder);
    await ended;
    expect(screen().join('\n')).toContain('migrate-lock: acquired the lock');
    expect(screen().filter((one) => one.startsWith('waiting'))).toEqual([]);
  });
});
