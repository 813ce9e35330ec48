import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { parseProcStat } from '../../../src/child/proc-files.js';
import { isAlive } from '../../support/processes.js';
import { fixture } from './start-one.js';
import { SupervisorLab } from './supervisor-process.js';

const possible =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
const CTRL_C = '\x03';
const CTRL_BACKSLASH = '\x1c';
const LONG: [number, number] = [30_000, 31_000];
const counter = [process.execPath, fixture('signal-counter.mjs')];

let lab: SupervisorLab;
beforeEach(async () => {
  lab = await new SupervisorLab().prepare();
});
afterEach(() => lab.dispose());

const stat = (pid: number | undefined): ReturnType<typeof parseProcStat> =>
  parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
const count = (part: string): number => lab.output.split(part).length - 1;

// script(1) of util-linux makes the terminal.
(possible ? describe : describe.skip)(
  'with a controlling terminal (skipped where script(1) is missing)',
  () => {
    test("the child shares migrate-lock's process group, and Ctrl-C and Ctrl-\\ reach it once", async () => {
      const terminal = lab.runInTerminal(`exec ${lab.supervisor(LONG, ...counter)}`);
      const { supervisor } = await lab.line('supervising');
      const { pid } = await lab.line('started');
      await lab.untilOutput('ready');
      expect(stat(pid)?.group).toBe(stat(supervisor)?.group);

      terminal.stdin.write(CTRL_C);
      await lab.untilOutput('got SIGINT');
      terminal.stdin.write(CTRL_BACKSLASH);
      await lab.untilOutput('got SIGQUIT');
      // SIGTERM does not come from the terminal, so it is forwarded; when it has arrived, so have all earlier signals.
      process.kill(supervisor ?? 0, 'SIGTERM');
      expect(await lab.line('ended')).toMatchObject({ exitCode: 0, reason: 'exited', gone: true });
      expect(lab.lines().flatMap(({ type, signal }) => (type === 'signal' ? [signal] : []))).toEqual([
        'SIGINT',
        'SIGQUIT',
        'SIGTERM',
      ]);
      await lab.untilOutput('got SIGTERM');
      expect([count('got SIGINT'), count('got SIGQUIT'), count('got SIGTERM')]).toEqual([1, 1, 1]);
    });

    test('a prompt reads its answer from the terminal although stdin is a pipe', async () => {
      const asking = ['sh', '-c', 'echo "question?" >/dev/tty; read answer </dev/tty; echo "answer=$answer"'];
      const terminal = lab.runInTerminal(`: | ${lab.supervisor(LONG, ...asking)}`);
      await lab.untilOutput('question?');
      terminal.stdin.write('yes\n');
      expect(await lab.line('ended')).toMatchObject({ exitCode: 0 });
      await lab.untilOutput('answer=yes');
    });

    test('in the background the terminal sends no signals, so all of them are forwarded', async () => {
      lab.runInTerminal(`set -m; ${lab.supervisor(LONG, ...counter)} & wait`);
      const { supervisor } = await lab.line('supervising');
      await lab.untilOutput('ready');
      process.kill(supervisor ?? 0, 'SIGINT');
      await lab.untilOutput('got SIGINT');
      process.kill(supervisor ?? 0, 'SIGTERM');
      expect(await lab.line('ended')).toMatchObject({ exitCode: 0 });
      expect(count('got SIGINT')).toBe(1);
    });

    test('the deadline signals each process of the tree, not the group with migrate-lock and the reader of its pipe', async () => {
      const pids = `${lab.folder}/pids`;
      const family = [fixture('family.sh'), pids];
      lab.runInTerminal(
        `${lab.supervisor([1_500, 5_000], ...family)} | sh -c 'cat; echo the reader has ended'`,
      );
      expect(await lab.line('ended')).toMatchObject({ signal: 'SIGTERM', reason: 'deadline', gone: true });
      await lab.untilOutput('the reader has ended');
      const members = readFileSync(pids, 'utf8').trim().split(/\s+/).map(Number);
      expect(members).toHaveLength(2);
      expect(members.filter(isAlive)).toEqual([]);
    });

    test('the SIGKILL reaches only the tree', async () => {
      lab.runInTerminal(
        `${lab.supervisor([800, 1_300], fixture('deaf.sh'))} | sh -c 'cat; echo the reader has ended'`,
      );
      expect(await lab.line('ended')).toMatchObject({ signal: 'SIGKILL', reason: 'deadline', gone: true });
      await lab.untilOutput('the reader has ended');
    });

    test('leftover processes are found by their mark', async () => {
      lab.runInTerminal(`exec ${lab.supervisor(LONG, fixture('leftover.sh'), `${lab.folder}/pids`)}`);
      const end = await lab.line('ended');
      expect(end).toMatchObject({ exitCode: 0, reason: 'exited', gone: true });
      expect(end.leftovers).toBeGreaterThanOrEqual(2);
    });
  },
);

test('without a controlling terminal the child leads its own group and session', async () => {
  // run() starts a new session, which has no terminal.
  lab.run('sh', ['-c', `exec ${lab.supervisor(LONG, ...counter)}`]);
  const { supervisor } = await lab.line('supervising');
  const { pid } = await lab.line('started');
  await lab.untilOutput('ready');
  expect(stat(pid)).toMatchObject({ group: pid, session: pid });
  process.kill(supervisor ?? 0, 'SIGINT');
  await lab.untilOutput('got SIGINT');
  process.kill(supervisor ?? 0, 'SIGTERM');
  expect(await lab.line('ended')).toMatchObject({ exitCode: 0 });
});

const PID_1 = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const mayUnshare = process.platform === 'linux' && spawnSync('unshare', [...PID_1, 'true']).status === 0;

(mayUnshare ? test : test.skip)(
  'as PID 1, zombies delay nothing (skipped where unshare is not permitted)',
  async () => {
    const zombies = "grep -c '^State:.Z' /proc/[0-9]*/status | grep -c ':1'";
    const orphaning = ['sh', '-c', `(sleep 0.05 &); sleep 0.3; echo "zombies: $(${zombies})"; exit 6`];
    const program = lab.run('unshare', [...PID_1, 'sh', '-c', `exec ${lab.supervisor(LONG, ...orphaning)}`]);
    const exited = once(program, 'exit');
    const [, end] = await Promise.all([lab.line('exited'), lab.line('ended')]);
    await exited;
    expect(lab.output).toContain('zombies: 1');
    expect(end).toMatchObject({ exitCode: 6, leftovers: 0, gone: true });
    expect(lab.lines()[0]).toEqual({ type: 'started', pid: expect.any(Number) });
    expect(lab.lines().find(({ type }) => type === 'supervising')).toMatchObject({ supervisor: 1 });
  },
);
