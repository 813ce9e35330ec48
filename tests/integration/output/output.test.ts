import { join } from 'node:path';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { childrenOf, isAlive, signalProcess, waitUntilGone } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import type { Report } from './fixtures/writer.js';
import { WriterProgram } from './writer-program.js';

let writer: WriterProgram;
beforeAll(() => {
  writer = new WriterProgram();
});
afterAll(() => writer.cleanUp());

/** 300 kB, more than any pipe takes. */
const TOO_MUCH = { lines: 3_000, width: 100, timerMs: 1_000 };

const commandLine = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8');

/** Between fork and exec a child still looks like its parent. */
function relayOf(pid: number): Promise<number> {
  return waitFor('the relay', () => childrenOf(pid).find((child) => commandLine(child) !== commandLine(pid)));
}

function expectNumbered(text: string, stream: string, count: number): void {
  const numbers = text.split('\n').filter((line) => line.startsWith(`${stream} `));
  expect(numbers).toEqual(Array.from({ length: count }, (_, n) => `${stream} ${n} `.padEnd(99, 'x')));
}

describe('a socket, as Node and systemd pass it', () => {
  test('whose reader stalls delays neither a timer nor the end, and leaves no relay', async () => {
    const run = writer.start(TOO_MUCH, ['ignore', 'pipe', 'inherit']);
    const relay = await relayOf(run.pid);
    expect(commandLine(relay)).toBe('cat\0');
    expect(readFileSync(`/proc/${relay}/environ`, 'utf8').split('\0').filter(Boolean)).toEqual([
      `PATH=${process.env.PATH ?? ''}`,
    ]);
    expect(await run.ended(6_000)).toBe(0);
    const report = await run.report();
    expect(report.timerLateMs).toBeLessThan(500);
    expect(report.isFlushed).toBe(false);
    expect(report.flushTookMs).toBeLessThan(2_000);
    await waitUntilGone(relay, 2_000);
    run.child.stdout?.destroy();
  });

  test.each([
    ['with cat', undefined],
    ['without cat', '/nonexistent'],
  ])('gets every line, complete and in order, %s', async (_, path) => {
    const run = writer.start({ ...TOO_MUCH, timerMs: 50, flushMs: 10_000 }, ['ignore', 'pipe', 'inherit'], {
      ...(path === undefined ? {} : { path }),
    });
    let text = '';
    run.child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
    expect(await run.ended(10_000)).toBe(0);
    await waitFor('the last line', () => text.includes(' 2999 '));
    expectNumbered(text, 'stdout', 3_000);
    expect((await run.report()).isFlushed).toBe(true);
  });

  test('whose reader closes it loses lines, and does not start a relay for each line', async () => {
    const starts = writer.path('cat-starts');
    const folder = writer.path('bin');
    mkdirSync(folder);
    writeFileSync(join(folder, 'cat'), `#!/bin/sh\necho started >> ${starts}\nexec /bin/cat`, {
      mode: 0o755,
    });
    const child = `while [ ! -e ${writer.path('reader-gone')} ]; do sleep 0.02; done`;
    const run = writer.start({ child, lines: 100, pauseMs: 5 }, ['ignore', 'pipe', 'inherit'], {
      path: `${folder}:${process.env.PATH ?? ''}`,
    });
    run.child.stdout?.once('data', () => {
      run.child.stdout?.destroy();
      writeFileSync(writer.path('reader-gone'), '');
    });
    expect(await run.ended(8_000)).toBe(0);
    expect(await run.report()).toMatchObject({ isFlushed: true });
    expect(readFileSync(starts, 'utf8')).toBe('started\n');
  });

  test('whose reader stalls keeps neither the program nor the relay running after a close', async () => {
    const task = { ...TOO_MUCH, timerMs: 500, end: 'close' as const };
    const run = writer.start(task, ['ignore', 'pipe', 'inherit']);
    const relay = await relayOf(run.pid);
    expect(await run.ended(3_000)).toBe(0);
    await waitUntilGone(relay, 1_000);
    run.child.stdout?.destroy();
  });

  test('is left to the relay, which then ends, when the program ends without a flush', async () => {
    const run = writer.start({ end: 'nothing', timerMs: 300 }, ['ignore', 'pipe', 'inherit']);
    const relay = await relayOf(run.pid);
    let text = '';
    run.child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
    expect(await run.ended(5_000)).toBe(0);
    await waitUntilGone(relay, 2_000);
    await waitFor('the last line', () => text.includes('stdout 9 '));
  });
});

describe('a file or a device', () => {
  test('a file is appended to at its position, also when both streams share it', async () => {
    const path = writer.path('log');
    writeFileSync(path, 'before\n');
    const fd = openSync(path, 'a');
    const run = writer.start({ streams: ['stdout', 'stderr'] }, ['ignore', fd, fd]);
    closeSync(fd);
    expect(await run.ended()).toBe(0);
    const lines = readFileSync(path, 'utf8').split('\n');
    expect(lines.slice(0, 4).map((line) => line.slice(0, 9))).toEqual([
      'before',
      'ready',
      'stdout 0 ',
      'stderr 0 ',
    ]);
    expect(lines).toHaveLength(23);
  });

  test.each(['/dev/full', '/dev/null'])('%s loses no line', async (path) => {
    const fd = openSync(path, 'w');
    const run = writer.start({}, ['ignore', fd, 'inherit']);
    closeSync(fd);
    expect(await run.ended(5_000)).toBe(0);
    expect(await run.report()).toMatchObject({ isFlushed: true });
  });

  test('a descriptor that cannot be written changes nothing', async () => {
    const fd = openSync('/dev/null', 'r');
    const run = writer.start({}, ['ignore', fd, fd]);
    closeSync(fd);
    expect(await run.ended(5_000)).toBe(0);
  });
});

describe('a terminal', () => {
  test('that is stopped delays neither a timer nor the end, and gets complete lines of both streams later', async () => {
    const stopped = writer.path('stopped');
    const child = `while [ ! -e ${stopped} ]; do sleep 0.02; done`;
    const task = { ...TOO_MUCH, streams: ['stdout' as const, 'stderr' as const], lines: 300, child };
    const { argv, report } = writer.command(task);
    const typescript = writer.path('typescript');
    const quoted = argv.map((word) => `'${word}'`).join(' ');
    // `script` gives its child a terminal; while `script` is stopped, it reads nothing from it.
    const script = writer.spawn(['script', '-qfc', quoted, typescript], ['ignore', 'ignore', 'inherit']);
    const pid = await waitFor('the program', () => childrenOf(script.pid)[0]);
    await waitFor('the first line', () => readFileSync(typescript, 'utf8').includes('ready'));
    signalProcess(script.pid, 'SIGSTOP');
    writeFileSync(stopped, '');
    try {
      await waitFor('the report', () => readFileSync(report, 'utf8'), { limitMs: 6_000 });
    } finally {
      signalProcess(script.pid, 'SIGCONT');
    }
    await script.ended();
    expect(isAlive(pid)).toBe(false);
    const result = JSON.parse(readFileSync(report, 'utf8')) as Report;
    expect(result.isFlushed).toBe(false);
    expect(result.timerLateMs).toBeLessThan(500);
    expect(result.flushTookMs).toBeLessThan(2_000);
    const lines = readFileSync(typescript, 'utf8')
      .split('\r\n')
      .filter((line) => line.startsWith('std'));
    // What the terminal accepted before it was full; the last line may be cut.
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(stdout|stderr) \d+ x+$/);
  });
});
