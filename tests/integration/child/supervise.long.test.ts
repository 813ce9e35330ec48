import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { isAlive, waitUntilGone } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { fixture, Ground, inMs, untilReady } from './start-one.js';

let ground: Ground;
beforeEach(() => {
  ground = new Ground();
});
afterEach(() => ground.dispose());

describe("the child's exit", () => {
  test('returns every exit code from 0 to 255', async () => {
    for (let code = 0; code < 256; code += 1) {
      const { child, happenings } = await ground.start('sh', ['-c', `exit ${code}`]);
      expect(await child.ended).toEqual({
        exitCode: code,
        signal: null,
        durationMs: expect.any(Number),
        reason: 'exited',
        leftovers: 0,
        gone: true,
      });
      expect(happenings).toEqual([
        { type: 'started', pid: child.pid },
        { type: 'exited', exitCode: code, signal: null, durationMs: expect.any(Number) },
      ]);
    }
  });

  test('returns the signal that ended the child', async () => {
    const harmless = new Set([
      'SIGCHLD',
      'SIGCONT',
      'SIGURG',
      'SIGWINCH',
      'SIGSTOP',
      'SIGTSTP',
      'SIGTTIN',
      'SIGTTOU',
    ]);
    // Other names of the same numbers.
    const twins = new Set(['SIGIOT', 'SIGPOLL', 'SIGUNUSED']);
    const deadly = Object.entries(constants.signals).filter(
      ([name]) => !harmless.has(name) && !twins.has(name),
    );
    expect(deadly.length).toBeGreaterThan(15);
    for (const [name, number] of deadly) {
      const { child } = await ground.start('sh', ['-c', `ulimit -c 0; kill -${number} $$; exec sleep 60`]);
      const end = await child.ended;
      expect([name, end]).toEqual([
        name,
        expect.objectContaining({ exitCode: null, signal: name, reason: 'exited' }),
      ]);
    }
  });

  test('is noticed even in the first moments', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => ground.start('true')));
    for (const { child } of all) expect(await child.ended).toMatchObject({ exitCode: 0, gone: true });
  });
});

describe('a command that cannot be started', () => {
  test.each([
    ['a missing interpreter', '#!/nowhere/sh\n', 126, 'interpreter /nowhere/sh does not exist', '#! line'],
    [
      'a #! line with a Windows line end',
      '#!/bin/sh\r\n',
      126,
      'interpreter /bin/sh does not exist',
      'CR LF',
    ],
    ['an interpreter that is a directory', '#!/tmp\n', 126, 'EACCES', '#! line'],
  ])('%s', async (_, script, exitCode, message, hint) => {
    const file = ground.file('script');
    const { chmodSync, writeFileSync } = await import('node:fs');
    writeFileSync(file, script);
    chmodSync(file, 0o755);
    const rejected = ground.start(file);
    await expect(rejected).rejects.toMatchObject({ exitCode, code: 'COMMAND_NOT_EXECUTABLE' });
    await expect(rejected).rejects.toMatchObject({
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });

  test('has arguments larger than the system allows', async () => {
    const rejected = ground.start('true', ['x'.repeat(3_000_000)]);
    await expect(rejected).rejects.toMatchObject({ exitCode: 126, hint: expect.stringContaining('larger') });
  });

  test('was deleted after it was found', async () => {
    await expect(ground.start('true', [], { file: ground.file('absent') })).rejects.toMatchObject({
      exitCode: 127,
    });
  });

  test('a script without a #! line is run by sh, as execvp does', async () => {
    const { chmodSync, writeFileSync } = await import('node:fs');
    writeFileSync(ground.file('script'), 'exit 5\n');
    chmodSync(ground.file('script'), 0o755);
    const { child } = await ground.start(ground.file('script'));
    expect(await child.ended).toMatchObject({ exitCode: 5 });
  });
});

describe('signals', () => {
  test('each signal is forwarded once, to the child itself', async () => {
    const started = await ground.start(process.execPath, [fixture('signal-counter.mjs')]);
    await untilReady(started);
    // SIGINT and SIGQUIT are tested in terminal.test.ts: a terminal would already have sent them.
    started.child.forward('SIGHUP');
    await waitFor('SIGHUP', () => started.output().includes('got SIGHUP'));
    started.child.forward('SIGUSR2');
    await waitFor('SIGUSR2', () => started.output().includes('got SIGUSR2'));
    started.child.forward('SIGTERM');
    expect(await started.child.ended).toMatchObject({ exitCode: 0, reason: 'exited' });
    expect(started.output().match(/got/g)).toHaveLength(3);
    expect(() => started.child.forward('SIGTERM')).not.toThrow();
  });
});

describe('stop', () => {
  test('sends SIGTERM, then SIGKILL after the grace', async () => {
    const started = await ground.start(fixture('deaf.sh'));
    await untilReady(started);
    const stoppedAtMs = performance.now();
    started.child.stop('lost');
    started.child.stop('deadline');
    expect(await started.child.ended).toMatchObject({
      signal: 'SIGKILL',
      reason: 'lost',
      leftovers: 0,
      gone: true,
    });
    const tookMs = performance.now() - stoppedAtMs;
    expect(tookMs).toBeGreaterThanOrEqual(500);
    expect(tookMs).toBeLessThan(5_000);
  });

  test('a second call sends SIGKILL earlier', async () => {
    const started = await ground.start(fixture('deaf.sh'), [], { killGraceMs: 20_000 });
    await untilReady(started);
    started.child.stop('lost');
    const hastenedAtMs = performance.now();
    started.child.stop('lost', 0);
    await started.child.ended;
    expect(performance.now() - hastenedAtMs).toBeLessThan(10_000);
  });

  test('does not end processes that the child starts for its cleanup before the SIGKILL', async () => {
    const started = await ground.start(fixture('cleanup.sh'), [], { killGraceMs: 20_000 });
    await untilReady(started);
    started.child.stop('lost');
    expect(await started.child.ended).toMatchObject({ exitCode: 7 });
  });

  test('continues a stopped child, so that it can handle SIGTERM', async () => {
    const started = await ground.start(process.execPath, [fixture('signal-counter.mjs')], {
      killGraceMs: 20_000,
    });
    await untilReady(started);
    process.kill(started.child.pid, 'SIGSTOP');
    started.child.stop('lost');
    expect(await started.child.ended).toMatchObject({ exitCode: 0, reason: 'lost' });
  });
});

describe('the deadline', () => {
  test('sends SIGTERM to the whole tree', async () => {
    const file = ground.file('pids');
    const { child, happenings } = await ground.start(fixture('family.sh'), [file], {
      timeline: inMs(1_500, 9_000),
    });
    const pids = await ground.pids(file, 2);
    const end = await child.ended;
    expect(end).toMatchObject({ signal: 'SIGTERM', reason: 'deadline', leftovers: 0, gone: true });
    expect(pids.filter(isAlive)).toEqual([]);
    expect(happenings.map(({ type }) => type)).toEqual(['started', 'deadline', 'exited']);
    expect(happenings[1]).toMatchObject({ ranMs: expect.any(Number) });
  });

  test('sends SIGKILL at its time to processes that ignore SIGTERM', async () => {
    const timeline = inMs(700, 1_400);
    const started = await ground.start(fixture('deaf.sh'), [], { timeline });
    await untilReady(started);
    expect(await started.child.ended).toMatchObject({ signal: 'SIGKILL', reason: 'deadline', gone: true });
    expect(performance.now() - timeline.killAtMs).toBeGreaterThanOrEqual(0);
    expect(performance.now() - timeline.killAtMs).toBeLessThan(5_000);
  });

  test('acts at once when it has already passed', async () => {
    const { child } = await ground.start(fixture('deaf.sh'), [], { timeline: inMs(-2, -1) });
    expect(await child.ended).toMatchObject({ signal: 'SIGKILL', reason: 'deadline' });
  });

  test('can be moved until it has begun', async () => {
    const { child } = await ground.start('sleep', ['60'], { timeline: inMs(300, 400) });
    expect(child.moveTimeline(inMs(1_000, 30_000))).toBe(true);
    const startedAtMs = performance.now();
    expect(await child.ended).toMatchObject({ signal: 'SIGTERM', reason: 'deadline' });
    expect(performance.now() - startedAtMs).toBeGreaterThan(900);
    expect(child.moveTimeline(inMs(1_000, 1_100))).toBe(false);
  });

  test('does not act at once when it is a month away', async () => {
    const month = 32 * 86_400_000;
    const { child } = await ground.start('sh', ['-c', 'sleep 0.3; exit 4'], {
      timeline: inMs(month, month + 1),
    });
    expect(await child.ended).toMatchObject({ exitCode: 4, reason: 'exited' });
  });

  test('is the reason when the child was killed after it', async () => {
    const { child } = await ground.start('sleep', ['60'], { timeline: inMs(300, 400) });
    // As if this process had been stopped, and the guard had ended the child.
    const { execFileSync } = await import('node:child_process');
    execFileSync('sh', ['-c', `sleep 0.6; kill -9 ${child.pid}; sleep 0.1`]);
    expect(await child.ended).toMatchObject({ reason: 'deadline', gone: true });
  });
});

describe('a leftover process', () => {
  test('is counted, gets SIGTERM at once, and SIGKILL after the grace', async () => {
    const file = ground.file('pids');
    const { child, happenings } = await ground.start(fixture('leftover.sh'), [file], { killGraceMs: 3_000 });
    const [one = 0, two = 0] = await ground.pids(file, 2);
    await waitFor('one of them to end', () => !isAlive(one) || !isAlive(two), { limitMs: 2_500 });
    expect(isAlive(one) || isAlive(two)).toBe(true);
    const end = await child.ended;
    // The fixture may have its `sleep` running beside it.
    expect(end).toMatchObject({ exitCode: 0, signal: null, reason: 'exited', gone: true });
    expect([2, 3]).toContain(end.leftovers);
    expect(happenings.map(({ type }) => type)).toEqual(['started', 'exited', 'leftover']);
    expect(happenings[2]).toEqual({ type: 'leftover', count: end.leftovers });
    expect([one, two].filter(isAlive)).toEqual([]);
  });

  test('gets one SIGTERM, also with many threads', async () => {
    const [program, ready] = [ground.file('two.mjs'), ground.file('ready')];
    const { writeFileSync } = await import('node:fs');
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [ready]);
    writeFileSync(
      program,
      `import { writeFileSync } from 'node:fs';
      let n = 0;
      process.on('SIGTERM', () => { console.log('got', ++n); setTimeout(() => process.exit(), 500); });
      writeFileSync('${ready}', 'ready\\n');
      setInterval(() => 0, 1000);`,
    );
    // Nothing else is started: the ids of the threads follow that of their process.
    const script = `'${process.execPath}' '${program}' & read word <'${ready}'`;
    const started = await ground.start('sh', ['-c', script], { killGraceMs: 20_000 });
    expect(await started.child.ended).toMatchObject({ exitCode: 0, leftovers: 1, gone: true });
    expect(started.output().match(/got/g)).toHaveLength(1);
  });

  test('is killed at the deadline when that comes before the end of the grace', async () => {
    const timeline = inMs(1_300, 1_500);
    const { child } = await ground.start(fixture('leftover.sh'), [ground.file('pids')], {
      killGraceMs: 60_000,
      timeline,
    });
    expect(await child.ended).toMatchObject({ exitCode: 0, reason: 'exited', gone: true });
    expect(performance.now()).toBeGreaterThanOrEqual(timeline.killAtMs);
    expect(performance.now() - timeline.killAtMs).toBeLessThan(5_000);
  });

  test.each([
    ['a daemon in a session of its own', ':'],
    ['a daemon that ignores SIGTERM', 'trap "" TERM'],
  ])('%s is found and ended', async (_, first) => {
    const file = ground.file('pid');
    const { child } = await ground.start(fixture('daemon.sh'), [file, first]);
    const [daemon = 0] = await ground.pids(file, 1);
    const end = await child.ended;
    expect(end).toMatchObject({ exitCode: 3, leftovers: 1, gone: true });
    expect(isAlive(daemon)).toBe(false);
  });

  test('is ended only by its own supervisor, when two run in one process', async () => {
    const one = await ground.start('sleep', ['60']);
    const two = await ground.start('sleep', ['60']);
    one.child.stop('lost');
    expect(await one.child.ended).toMatchObject({ signal: 'SIGTERM' });
    expect(isAlive(two.child.pid)).toBe(true);
  });

  test('of a nested run is ended by that run only', async () => {
    const outer = { ...process.env, MIGRATE_LOCK_INSTANCES: 'outer' };
    const sibling = await ground.start('sleep', ['60'], { env: outer });
    const inner = await ground.start('true', [], { env: outer });
    expect(await inner.child.ended).toMatchObject({ leftovers: 0 });
    expect(isAlive(sibling.child.pid)).toBe(true);
  });

  test('that keeps forking is ended', async () => {
    // Each generation starts the next, in its own session, until the file says stop.
    const [file, ready] = [ground.file('go'), ground.file('ready')];
    const { writeFileSync, rmSync } = await import('node:fs');
    writeFileSync(file, '');
    const fork = `while [ -e '${file}' ]; do setsid sh -c 'trap "" TERM; sleep 0.2' & sleep 0.02; done`;
    const { child } = await ground.start('sh', [
      '-c',
      `trap '' TERM; (${fork}) & (${fork}) & : >'${ready}'; wait`,
    ]);
    await waitFor('the crowd', () => existsSync(ready));
    child.stop('lost', 300);
    expect(await child.ended).toMatchObject({ signal: 'SIGKILL', gone: true });
    rmSync(file);
    await waitUntilGone(child.pid);
  });
});
