import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { systemProcessTable } from '../../../src/child/process-table.js';
import { childrenOf, isAlive, processesWith, signalProcess, waitUntilGone } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { fixture } from './start-one.js';
import { SupervisorLab, type LogLine } from './supervisor-process.js';

/** The text has every character that a shell could misread, and its Base64 every kind of letter. */
const RELEASE = '{"secret":"s3cr\\et $HOME `id` \'x\' ÿþ>>>???"}';
const SHELLS: [name: string, shell: [string, ...string[]]][] = [
  ['dash', ['dash']],
  ['busybox', ['busybox', 'sh']],
  ['mksh', ['mksh']],
  ['bash', ['bash', '--posix']],
];

let lab: SupervisorLab;
let mark: string;
beforeEach(async () => {
  lab = await new SupervisorLab().prepare();
  mark = `guard-test-${process.pid}-${Date.now()}`;
});
afterEach(() => lab.dispose());

interface Settings {
  command?: string;
  args?: string[];
  shell?: string[];
  proc?: string;
  guardKillMs?: number;
  killMs?: number;
  killGraceMs?: number;
  orders?: boolean;
  untold?: boolean;
  claims?: { pid: number; startedAt: number; ownGroup: boolean };
}

function holderWords(settings: Settings): string[] {
  const releaseProgram = [process.execPath, fixture('release.mjs'), lab.bundle, lab.log, mark];
  const json = JSON.stringify({ mark, crashRelease: RELEASE, releaseProgram, ...settings });
  return [fixture('holder.mjs'), lab.bundle, lab.log, json];
}

async function holder(
  settings: Settings,
): Promise<{ program: ChildProcess; guard: number; say: (word: string) => void }> {
  const program = lab.run(process.execPath, holderWords(settings));
  const { ready } = await lab.line('ready');
  expect(ready).toBe(true);
  const pid = program.pid ?? 0;
  return { program, guard: guardOf(pid), say: (word) => program.stdin.write(`${word}\n`) };
}

/** The guard of a holder: a child process that leads a session and does not carry the mark. */
function guardOf(holderPid: number): number {
  const guards = childrenOf(holderPid).filter((pid) => {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return command.includes('migrate-lock-guard');
  });
  expect(guards).toHaveLength(1);
  return guards[0] ?? 0;
}

async function kill(program: ChildProcess): Promise<void> {
  const exited = once(program, 'exit');
  program.kill('SIGKILL');
  await exited;
}

async function pidsIn(file: string, count: number): Promise<number[]> {
  return waitFor(`${count} pids in ${file}`, () => {
    const pids = contents(file).split(/\s+/).filter(Boolean).map(Number);
    return pids.length >= count ? pids : null;
  });
}

/** No process of the test is left, including the guard and its processes. */
const untilNobodyIsLeft = (): Promise<unknown> =>
  waitFor('the end of all', () => processesWith('MIGRATE_LOCK_TEST_LAB', lab.folder).length === 0);

async function untilSessionIsOver(session: number): Promise<void> {
  await waitFor(`the end of session ${session}`, async () => {
    const processes = await systemProcessTable().list();
    return !processes.some((entry) => entry.session === session && !entry.zombie);
  });
}

const released = (): LogLine | undefined => lab.lines().find(({ type }) => type === 'release');

describe.each(SHELLS)('%s (skipped where it is missing)', (_, shell) => {
  const there = spawnSync(shell[0], [...shell.slice(1), '-c', ':']).status === 0;
  const ifThere = there ? test : test.skip;

  ifThere(
    'when the holder is killed, all processes of its command end and the lease is released',
    async () => {
      const file = `${lab.folder}/pids`;
      const { program, guard } = await holder({ shell, command: fixture('family.sh'), args: [file] });
      const family = await pidsIn(file, 2);
      const { pid = 0 } = await lab.line('started');
      await kill(program);
      const killedAtMs = performance.now();
      const { left, gone, crashRelease, child } = await lab.line('release');
      // About half a second on an idle machine.
      expect(performance.now() - killedAtMs).toBeLessThan(6_000);
      expect([pid, ...family].filter(isAlive)).toEqual([]);
      expect({ left, gone, crashRelease }).toEqual({ left: 0, gone: true, crashRelease: RELEASE });
      expect(child).toMatchObject({ pid, ownGroup: true });
      await waitUntilGone(guard);
      await untilNobodyIsLeft();
    },
  );

  ifThere('a process that ignores SIGTERM is killed after the grace, a daemon too', async () => {
    const file = `${lab.folder}/pid`;
    const both = `'${fixture('daemon.sh')}' '${file}' 'trap "" TERM'; exec '${fixture('deaf.sh')}'`;
    const { program } = await holder({ shell, command: 'sh', args: ['-c', both], killGraceMs: 700 });
    const [daemon = 0] = await pidsIn(file, 1);
    const { pid = 0 } = await lab.line('started');
    await lab.untilOutput('ready');
    await kill(program);
    const killedAtMs = performance.now();
    await Promise.all([daemon, pid].map((one) => waitUntilGone(one)));
    expect(performance.now() - killedAtMs).toBeGreaterThan(500);
    expect(await lab.line('release')).toMatchObject({ left: 0, gone: true });
    expect(performance.now() - killedAtMs).toBeLessThan(6_000);
  });

  ifThere('a child that the holder did not report is found', async () => {
    const file = `${lab.folder}/pid`;
    const script = `echo $$ >'${file}'; exec sleep 60`;
    lab.run(
      process.execPath,
      holderWords({ shell, command: 'setsid', args: ['sh', '-c', script], untold: true }),
    );
    const { left, gone, child } = await lab.line('release');
    expect({ left, gone }).toEqual({ left: 0, gone: true });
    expect(child).toBeUndefined();
    // It may have been ended before it could write its process id.
    await untilNobodyIsLeft();
  });

  ifThere(
    'while the holder is stopped, the guard kills the child at its deadline and releases nothing',
    async () => {
      const settings = { shell, command: fixture('deaf.sh'), guardKillMs: 2_000, killMs: 1_200 };
      const { program, guard } = await holder(settings);
      const orderedAtMs = performance.now();
      await lab.untilOutput('ready');
      const { pid = 0 } = await lab.line('started');
      program.kill('SIGSTOP');
      await waitUntilGone(pid);
      const tookMs = performance.now() - orderedAtMs;
      expect(tookMs).toBeGreaterThan(1_400);
      expect(tookMs).toBeLessThan(8_000);
      program.kill('SIGCONT');
      expect(await lab.line('ended')).toMatchObject({ signal: 'SIGKILL', reason: 'deadline', gone: true });
      expect(released()).toBeUndefined();
      expect(isAlive(guard)).toBe(true);
    },
  );

  ifThere("a process that reuses the child's process id is not signalled", async () => {
    const innocent = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    try {
      const pid = innocent.pid ?? 0;
      const startedAt = systemProcessTable().find(pid)?.startedAt ?? 0;
      const { program } = await holder({ shell, claims: { pid, startedAt: startedAt - 1, ownGroup: true } });
      await kill(program);
      expect(await lab.line('release')).toMatchObject({ left: 0, gone: true });
      expect(isAlive(pid)).toBe(true);
    } finally {
      innocent.kill('SIGKILL');
    }
  });

  ifThere(
    'a child whose name contains parentheses and numbers, as its line in /proc does, is ended',
    async () => {
      const odd = `${lab.folder}/x) Z 1 1 1\n2 (3`;
      copyFileSync('/bin/sleep', odd);
      const { program } = await holder({ shell, command: odd, args: ['60'] });
      const { pid = 0 } = await lab.line('started');
      await kill(program);
      expect(await lab.line('release')).toMatchObject({ left: 0, gone: true, child: { pid } });
      expect(isAlive(pid)).toBe(false);
    },
  );

  ifThere('without /proc, it uses ps and counts time by itself', async () => {
    const settings = { shell, command: fixture('deaf.sh'), proc: '/nowhere', guardKillMs: 2_500 };
    const { program } = await holder(settings);
    await lab.untilOutput('ready');
    const { pid = 0 } = await lab.line('started');
    program.kill('SIGSTOP');
    const stoppedAtMs = performance.now();
    await waitUntilGone(pid);
    expect(performance.now() - stoppedAtMs).toBeLessThan(8_000);
    await kill(program);
    expect(await lab.line('release')).toMatchObject({ left: 0, gone: true });
  });

  ifThere('it does not release when it cannot verify that the processes are gone', async () => {
    // A /proc that shows other processes but not the guard itself cannot be trusted.
    const proc = `${lab.folder}/proc`;
    mkdirSync(`${proc}/self`, { recursive: true });
    mkdirSync(`${proc}/1`);
    for (const name of ['self', '1'])
      writeFileSync(`${proc}/${name}/stat`, '1 (init) S 0 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n');
    const { program, guard } = await holder({ shell, command: fixture('deaf.sh'), proc, killGraceMs: 300 });
    await lab.untilOutput('ready');
    const { pid = 0 } = await lab.line('started');
    await kill(program);
    // The group is ended nevertheless.
    await waitUntilGone(pid);
    const looks = systemProcessTable().lastPid() ?? 0;
    await waitFor('some more looks', () => (systemProcessTable().lastPid() ?? 0) > looks + 30);
    expect(isAlive(guard)).toBe(true);
    expect(released()).toBeUndefined();
  });
});

describe('the guard', () => {
  test('ends when it is dismissed, with all that it started', async () => {
    const { say, guard } = await holder({ command: 'sleep', args: ['60'] });
    await lab.line('entry');
    say('dismiss');
    await lab.line('dismissed');
    // A killed process takes a moment to disappear.
    await waitUntilGone(guard);
    await untilSessionIsOver(guard);
    const { pid = 0 } = await lab.line('started');
    expect(isAlive(pid)).toBe(true);
  });

  test('does not carry the mark, so that an outer run does not count it as its own', async () => {
    lab.run(process.execPath, holderWords({}), { MIGRATE_LOCK_INSTANCES: 'outer' });
    const { holder: holderPid = 0 } = await lab.line('ready');
    const environment = readFileSync(`/proc/${guardOf(holderPid)}/environ`, 'utf8');
    expect(environment).toContain('MIGRATE_LOCK_TEST_LAB=');
    expect(environment).not.toContain('MIGRATE_LOCK_INSTANCES=outer');
  });

  test('passes the mark to no command as an argument, which other users can read', async () => {
    const trace = `${lab.folder}/trace`;
    const shell = `${lab.folder}/traced-sh`;
    writeFileSync(shell, `#!/bin/sh\nexec sh -x "$@" 2>'${trace}'\n`, { mode: 0o755 });
    const { program } = await holder({ shell: [shell], command: 'sleep', args: ['60'] });
    await lab.line('entry');
    await kill(program);
    await lab.line('release');
    const lines = contents(trace).split('\n');
    expect(lines.filter((line) => line.includes('grep')).length).toBeGreaterThan(0);
    const told = lines.filter((line) => line.includes(mark) && !line.includes('release.mjs'));
    // An assignment, and a builtin. A shell writes "+ " and the rest apart, and two shells of the guard can write at the same time.
    expect(told.filter((line) => !/^(\+ )*(mark=|echo )/.test(line))).toEqual([]);
    expect(told.length).toBeGreaterThan(0);
  });

  test('ends silently when it received no orders', async () => {
    const { program, guard } = await holder({ orders: false });
    await kill(program);
    await waitUntilGone(guard);
    expect(released()).toBeUndefined();
  });

  test('releases the lease when no child was started', async () => {
    const { program } = await holder({});
    await kill(program);
    expect(await lab.line('release')).toMatchObject({ left: 0, gone: true, crashRelease: RELEASE });
  });

  test('is replaced when it dies, and the new one has the same orders', async () => {
    const { program, guard } = await holder({ command: 'sleep', args: ['60'] });
    const { pid = 0 } = await lab.line('started');
    signalProcess(guard, 'SIGKILL');
    expect(await lab.line('restarted')).toMatchObject({ source: 'guard' });
    // The old guard's second process, with an old deadline, is gone as well.
    await untilSessionIsOver(guard);
    await kill(program);
    expect(await lab.line('release')).toMatchObject({
      left: 0,
      gone: true,
      crashRelease: RELEASE,
      child: { pid },
    });
    expect(isAlive(pid)).toBe(false);
  });

  test('killed together with its holder, leaves a process that ends the child', async () => {
    const { program, guard } = await holder({ command: fixture('deaf.sh') });
    const { pid = 0 } = await lab.line('started');
    // Stopped, so that it cannot start another guard.
    program.kill('SIGSTOP');
    signalProcess(guard, 'SIGKILL');
    await kill(program);
    await waitUntilGone(pid, 10_000);
    await untilNobodyIsLeft();
    expect(released()).toBeUndefined();
  });

  test('ignores the signals that are sent when a container or a terminal ends', async () => {
    const { program, guard } = await holder({ command: 'sleep', args: ['60'] });
    const { pid = 0 } = await lab.line('started');
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const) signalProcess(guard, signal);
    // It has its own session: a signal to the holder's group does not reach it.
    process.kill(-(program.pid ?? 0), 'SIGKILL');
    await lab.line('release');
    expect(isAlive(pid)).toBe(false);
  });

  test('ends a descendant that has neither group nor mark, while its parents live', async () => {
    const file = `${lab.folder}/pid`;
    const bare = `env -i PATH="$PATH" setsid sh -c 'echo $$ >"$0"; exec sleep 60' '${file}' & wait`;
    const { program } = await holder({ command: 'sh', args: ['-c', bare] });
    const [pid = 0] = await pidsIn(file, 1);
    await kill(program);
    await lab.line('release');
    try {
      expect(isAlive(pid)).toBe(false);
    } finally {
      signalProcess(pid, 'SIGKILL');
    }
  });

  test('uses a deadline that was moved', async () => {
    const { program, say } = await holder({ command: 'sleep', args: ['60'], guardKillMs: 1_000 });
    const { pid = 0 } = await lab.line('started');
    await lab.line('entry');
    const uptime = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
    say('later');
    await waitFor(
      'the first deadline to pass',
      () => Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) > uptime + 1.5,
    );
    expect(isAlive(pid)).toBe(true);
    await kill(program);
    await lab.line('release');
    expect(isAlive(pid)).toBe(false);
  });

  test('leaves no part of the crash release in arguments, environments or files', async () => {
    const { program } = await holder({ command: fixture('deaf.sh'), killGraceMs: 1_500 });
    await lab.untilOutput('ready');
    const trace = Buffer.from(RELEASE).toString('base64').slice(0, 24);
    const holderPid = program.pid ?? 0;
    await kill(program);
    let looks = 0;
    await waitFor(
      'the release',
      () => {
        looks += 1;
        for (const pid of readdirSync('/proc').filter(
          (name) => /^\d+$/.test(name) && Number(name) !== holderPid,
        )) {
          for (const file of ['cmdline', 'environ']) {
            const text = contents(`/proc/${pid}/${file}`);
            // This test's processes have the text in memory only; the holder had it in its arguments, and is dead.
            expect(text.includes(trace) || text.includes('s3cr\\et')).toBe(false);
          }
        }
        return released() !== undefined;
      },
      { intervalMs: 5 },
    );
    expect(looks).toBeGreaterThan(5);
    expect(released()).toMatchObject({ crashRelease: RELEASE });
  });

  test('that cannot be started is reported once, and the child runs', async () => {
    lab.run(process.execPath, holderWords({ shell: ['/nowhere/sh'], command: 'sh', args: ['-c', 'exit 3'] }));
    expect(await lab.line('ready')).toMatchObject({ ready: false });
    expect(await lab.line('ended')).toMatchObject({ exitCode: 3, gone: true });
    expect(lab.lines().filter(({ source }) => source === 'guard')).toEqual([
      { source: 'guard', type: 'absent', reason: 'there is no /nowhere/sh' },
    ]);
  });

  test('that ends right after its start is not started again', async () => {
    lab.run(process.execPath, holderWords({ shell: ['false'], command: 'true' }));
    expect(await lab.line('absent')).toMatchObject({ source: 'guard' });
    expect(await lab.line('ended')).toMatchObject({ exitCode: 0 });
  });
});

const terminals =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

(terminals ? test : test.skip)(
  'in a terminal it ends the tree, not the group (skipped where script(1) is missing)',
  async () => {
    const file = `${lab.folder}/pids`;
    const words = [process.execPath, ...holderWords({ command: fixture('family.sh'), args: [file] })];
    const call = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    lab.runInTerminal(`sh -c "$HOLDER" | sh -c 'cat; echo the reader has ended'`, { HOLDER: `exec ${call}` });
    const { holder: holderPid = 0 } = await lab.line('ready');
    const family = await pidsIn(file, 2);
    signalProcess(holderPid, 'SIGKILL');
    expect(await lab.line('release')).toMatchObject({ left: 0, gone: true, child: { ownGroup: false } });
    expect(family.filter(isAlive)).toEqual([]);
    await lab.untilOutput('the reader has ended');
  },
);

function contents(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it has ended
  }
}
