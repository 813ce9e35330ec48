import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { systemProcessTable } from '../../../src/child/process-table.js';
import { childrenOf, isAlive, signalProcess, waitUntilGone } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { contents, GuardLab, guardOf, kill, OWN_GUARD, pidsIn, SHELL_GUARDS } from './guard-lab.js';
import { fixture } from './start-one.js';

// What is of one kind of guard only. What all promise: guard-contract.long.test.ts.

let lab: GuardLab;
beforeEach(async () => {
  lab = await new GuardLab().prepare();
});
afterEach(() => lab.dispose());

describe.each(SHELL_GUARDS)('$name (skipped where it is missing)', ({ shell, isThere }) => {
  const ifThere = isThere ? test : test.skip;

  ifThere('without /proc, it uses ps and counts time by itself', async () => {
    const settings = { shell, command: fixture('deaf.sh'), proc: '/nowhere', guardKillMs: 2_500 };
    const { program } = await lab.holder(settings);
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
    const { program, guard } = await lab.holder({
      shell,
      command: fixture('deaf.sh'),
      proc,
      killGraceMs: 300,
    });
    await lab.untilOutput('ready');
    const { pid = 0 } = await lab.line('started');
    await kill(program);
    // The group is ended nevertheless.
    await waitUntilGone(pid);
    // Each scan starts processes. Their numbers begin again at pid_max.
    const pids = new Set<number | undefined>();
    await waitFor('some more scans', () => pids.add(systemProcessTable().lastPid()).size > 15);
    expect(isAlive(guard)).toBe(true);
    expect(lab.released()).toBeUndefined();
  });
});

describe('the guard', () => {
  test('does not carry the mark, so that an outer run does not count it as its own', async () => {
    lab.run(process.execPath, lab.holderWords({}), { MIGRATE_LOCK_INSTANCES: 'outer' });
    const { holder: holderPid = 0 } = await lab.line('ready');
    const environment = readFileSync(`/proc/${guardOf(holderPid)}/environ`, 'utf8');
    expect(environment).toContain('MIGRATE_LOCK_TEST_LAB=');
    expect(environment).not.toContain('MIGRATE_LOCK_INSTANCES=outer');
  });

  test('passes the mark to no command as an argument, which other users can read', async () => {
    const trace = `${lab.folder}/trace`;
    const shell = `${lab.folder}/traced-sh`;
    writeFileSync(shell, `#!/bin/sh\nexec sh -x "$@" 2>'${trace}'\n`, { mode: 0o755 });
    const { program } = await lab.holder({ shell: [shell], command: 'sleep', args: ['60'] });
    await lab.line('entry');
    await kill(program);
    await lab.line('release');
    const lines = contents(trace).split('\n');
    expect(lines.filter((line) => line.includes('grep')).length).toBeGreaterThan(0);
    const told = lines.filter((line) => line.includes(lab.mark) && !line.includes('release.mjs'));
    // An assignment, and a builtin. A shell writes "+ " and the rest apart, and two shells of the guard can write at the same time.
    expect(told.filter((line) => !/^(\+ )*(mark=|echo )/.test(line))).toEqual([]);
    expect(told.length).toBeGreaterThan(0);
  });

  test('that cannot be started, neither in a shell nor as this program, is reported once, and the child runs', async () => {
    const nowhere = { shell: ['/nowhere/sh'], ownGuard: ['/nowhere/migrate-lock', 'guard'] };
    lab.run(process.execPath, lab.holderWords({ ...nowhere, command: 'sh', args: ['-c', 'exit 3'] }));
    expect(await lab.line('ready')).toMatchObject({ ready: false });
    expect(await lab.line('ended')).toMatchObject({ exitCode: 3, gone: true });
    const reason = 'there is no /nowhere/sh, and without it: there is no /nowhere/migrate-lock';
    expect(lab.lines().filter(({ source }) => source === 'guard')).toEqual([
      { source: 'guard', type: 'absent', reason },
    ]);
  });

  test('that ends right after its start is not started again', async () => {
    lab.run(process.execPath, lab.holderWords({ shell: ['false'], ownGuard: ['false'], command: 'true' }));
    expect(await lab.line('absent')).toMatchObject({ source: 'guard' });
    expect(await lab.line('ended')).toMatchObject({ exitCode: 0 });
  });

  test('is this program where the shell finds none of the programs that its script needs', async () => {
    const shell = `${lab.folder}/bare-sh`;
    writeFileSync(
      shell,
      '#!/bin/sh\nexec sh -c "$(echo "$MIGRATE_LOCK_GUARD" | sed s,^PATH=.*,PATH=/nowhere,)" "$3" "$4" x\n',
      {
        mode: 0o755,
      },
    );
    const { program } = await lab.holder({ shell: [shell], command: 'sleep', args: ['60'] });
    const { pid = 0 } = await lab.line('started');
    await kill(program);
    expect(await lab.line('release')).toMatchObject({ left: 0, gone: true, child: { pid } });
    expect(lab.lines().filter(({ source }) => source === 'guard')).toEqual([]);
  });
});

describe('the guard that is migrate-lock itself', () => {
  test('is killed before the command when memory is short', async () => {
    const { guard } = await lab.holder({ shell: OWN_GUARD.shell, command: 'sleep', args: ['60'] });
    const { pid = 0 } = await lab.line('started');
    expect(readFileSync(`/proc/${guard}/oom_score_adj`, 'utf8')).toBe('1000\n');
    expect(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8')).toBe(
      readFileSync('/proc/self/oom_score_adj', 'utf8'),
    );
  });

  test('has the mark in no argument', async () => {
    const { guard } = await lab.holder({ shell: OWN_GUARD.shell, command: 'sleep', args: ['60'] });
    const family = [guard, ...(await waitFor('the second guard', () => nonEmpty(childrenOf(guard))))];
    for (const pid of family) expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(lab.mark);
  });
});

const terminals =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

(terminals ? test : test.skip)(
  'in a terminal it ends the tree, not the group (skipped where script(1) is missing)',
  async () => {
    const file = `${lab.folder}/pids`;
    const words = [process.execPath, ...lab.holderWords({ command: fixture('family.sh'), args: [file] })];
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

function nonEmpty(pids: number[]): number[] | null {
  return pids.length > 0 ? pids : null;
}
