import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { systemProcessTable } from '../../../src/child/process-table.js';
import { isAlive, signalProcess, waitUntilGone } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import {
  contents,
  GuardLab,
  kill,
  OWN_GUARD,
  pidsIn,
  RELEASE,
  SHELL_GUARDS,
  untilGuardWatches,
  untilSessionIsOver,
} from './guard-lab.js';
import { fixture } from './start-one.js';

// What every guard promises its holder: the script in each shell, and this program where there is no shell.

let lab: GuardLab;
beforeEach(async () => {
  lab = await new GuardLab().prepare();
});
afterEach(() => lab.dispose());

describe.each([OWN_GUARD, ...SHELL_GUARDS])('$name (skipped where it is missing)', ({ shell, isThere }) => {
  const ifThere = isThere ? test : test.skip;

  ifThere(
    'when the holder is killed, all processes of its command end and the lease is released',
    async () => {
      const file = `${lab.folder}/pids`;
      const { program, guard } = await lab.holder({ shell, command: fixture('family.sh'), args: [file] });
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
      await lab.untilNobodyIsLeft();
    },
  );

  ifThere('a process that ignores SIGTERM is killed after the grace, a daemon too', async () => {
    const file = `${lab.folder}/pid`;
    const both = `'${fixture('daemon.sh')}' '${file}' 'trap "" TERM'; exec '${fixture('deaf.sh')}'`;
    const { program } = await lab.holder({ shell, command: 'sh', args: ['-c', both], killGraceMs: 700 });
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
      lab.holderWords({ shell, command: 'setsid', args: ['sh', '-c', script], untold: true }),
    );
    const { left, gone, child } = await lab.line('release');
    expect({ left, gone }).toEqual({ left: 0, gone: true });
    expect(child).toBeUndefined();
    // It may have been ended before it could write its process id.
    await lab.untilNobodyIsLeft();
  });

  ifThere(
    'while the holder is stopped, the guard kills the child at its deadline and releases nothing',
    async () => {
      const settings = { shell, command: fixture('deaf.sh'), guardKillMs: 2_000, killMs: 1_200 };
      const { program, guard } = await lab.holder(settings);
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
      expect(lab.released()).toBeUndefined();
      expect(isAlive(guard)).toBe(true);
    },
  );

  ifThere("a process that reuses the child's process id is not signalled", async () => {
    const innocent = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    try {
      const pid = innocent.pid ?? 0;
      const startedAt = systemProcessTable().find(pid)?.startedAt ?? 0;
      const { program } = await lab.holder({
        shell,
        claims: { pid, startedAt: startedAt - 1, ownGroup: true },
      });
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
      const { program } = await lab.holder({ shell, command: odd, args: ['60'] });
      const { pid = 0 } = await lab.line('started');
      await kill(program);
      expect(await lab.line('release')).toMatchObject({ left: 0, gone: true, child: { pid } });
      expect(isAlive(pid)).toBe(false);
    },
  );

  ifThere('ends when it is dismissed, with all that it started', async () => {
    const { say, guard } = await lab.holder({ shell, command: 'sleep', args: ['60'] });
    await lab.line('entry');
    say('dismiss');
    await lab.line('dismissed');
    // A killed process takes a moment to disappear.
    await waitUntilGone(guard);
    await untilSessionIsOver(guard);
    const { pid = 0 } = await lab.line('started');
    expect(isAlive(pid)).toBe(true);
  });

  ifThere('ends silently when it received no orders', async () => {
    const { program, guard } = await lab.holder({ shell, orders: false });
    await kill(program);
    await waitUntilGone(guard);
    expect(lab.released()).toBeUndefined();
  });

  ifThere('ends the processes of the command also when nothing is to be released', async () => {
    const { program, guard } = await lab.holder({ shell, command: 'sleep', args: ['60'], crashRelease: '' });
    const { pid = 0 } = await lab.line('started');
    await kill(program);
    await waitUntilGone(pid);
    await waitUntilGone(guard);
    expect(lab.released()).toBeUndefined();
  });

  ifThere('releases the lease when no child was started', async () => {
    const { program } = await lab.holder({ shell });
    await kill(program);
    expect(await lab.line('release')).toMatchObject({ left: 0, gone: true, crashRelease: RELEASE });
  });

  ifThere('is replaced when it dies, and the new one has the same orders', async () => {
    const { program, guard } = await lab.holder({ shell, command: 'sleep', args: ['60'] });
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

  ifThere('killed together with its holder, leaves a process that ends the child', async () => {
    const { program, guard } = await lab.holder({ shell, command: fixture('deaf.sh') });
    const { pid = 0 } = await lab.line('started');
    await untilGuardWatches(guard);
    // Stopped, so that it cannot start another guard.
    program.kill('SIGSTOP');
    signalProcess(guard, 'SIGKILL');
    await kill(program);
    await waitUntilGone(pid, 10_000);
    await lab.untilNobodyIsLeft();
    expect(lab.released()).toBeUndefined();
  });

  ifThere('ignores the signals that are sent when a container or a terminal ends', async () => {
    const { program, guard } = await lab.holder({ shell, command: 'sleep', args: ['60'] });
    const { pid = 0 } = await lab.line('started');
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const) signalProcess(guard, signal);
    // It has its own session: a signal to the holder's group does not reach it.
    process.kill(-(program.pid ?? 0), 'SIGKILL');
    await lab.line('release');
    expect(isAlive(pid)).toBe(false);
  });

  ifThere('ends a descendant that has neither group nor mark, while its parents live', async () => {
    const file = `${lab.folder}/pid`;
    const bare = `env -i PATH="$PATH" setsid sh -c 'echo $$ >"$0"; exec sleep 60' '${file}' & wait`;
    const { program } = await lab.holder({ shell, command: 'sh', args: ['-c', bare] });
    const [pid = 0] = await pidsIn(file, 1);
    await kill(program);
    await lab.line('release');
    try {
      expect(isAlive(pid)).toBe(false);
    } finally {
      signalProcess(pid, 'SIGKILL');
    }
  });

  ifThere('uses a deadline that was moved', async () => {
    const { program, say } = await lab.holder({ shell, command: 'sleep', args: ['60'], guardKillMs: 1_000 });
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

  ifThere('leaves no part of the crash release in arguments, environments or files', async () => {
    const { program } = await lab.holder({ shell, command: fixture('deaf.sh'), killGraceMs: 1_500 });
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
        return lab.released() !== undefined;
      },
      { intervalMs: 5 },
    );
    expect(looks).toBeGreaterThan(5);
    expect(lab.released()).toMatchObject({ crashRelease: RELEASE });
  });
});
