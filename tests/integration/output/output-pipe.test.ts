import { chmodSync, closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { childrenOf, waitUntilGone } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { WriterProgram } from './writer-program.js';

let writer: WriterProgram;
beforeAll(() => {
  writer = new WriterProgram();
});
afterAll(() => writer.cleanUp());

/** 300 kB, more than any pipe takes. */
const TOO_MUCH = { lines: 3_000, width: 100, timerMs: 1_000 };

/** A pipe whose reader does nothing until it is told to. */
function openFifo(name: string) {
  const path = writer.fifo(name);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { path, reader, writer: openSync(path, 'w') };
}

/** What can be read now; empty when there is nothing, or when all writers have closed it. */
function readNow(fd: number): string {
  const buffer = Buffer.alloc(65_536);
  try {
    return buffer.toString('utf8', 0, readSync(fd, buffer));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
    throw error;
  }
}

function expectNumbered(text: string, stream: string, count: number): void {
  const numbers = text.split('\n').filter((line) => line.startsWith(`${stream} `));
  expect(numbers).toEqual(Array.from({ length: count }, (_, n) => `${stream} ${n} `.padEnd(99, 'x')));
}

function relayOf(pid: number): Promise<number> {
  return waitFor('the relay', () => childrenOf(pid)[0]);
}

describe('a pipe', () => {
  test('whose reader stalls delays neither a timer nor the end', async () => {
    const fifo = openFifo('stalled');
    const run = writer.start(TOO_MUCH, ['ignore', fifo.writer, 'inherit']);
    closeSync(fifo.writer);
    expect(await run.ended(6_000)).toBe(0);
    const report = await run.report();
    expect(report.timerLateMs).toBeLessThan(500);
    expect(report.longestCallMs).toBeLessThan(500);
    expect(report.isFlushed).toBe(false);
    expect(report.flushTookMs).toBeGreaterThan(900);
    expect(report.flushTookMs).toBeLessThan(2_000);
    closeSync(fifo.reader);
  });

  test('whose reader stalls does not keep the program running without a flush', async () => {
    const fifo = openFifo('unflushed');
    const run = writer.start({ ...TOO_MUCH, timerMs: 50, end: 'nothing' }, [
      'ignore',
      fifo.writer,
      'inherit',
    ]);
    closeSync(fifo.writer);
    expect(await run.ended(3_000)).toBe(0);
    closeSync(fifo.reader);
  });

  test('stays blocking for the child that shares it, but does not block migrate-lock', async () => {
    const fifo = openFifo('shared');
    const flags = writer.path('flags');
    const child = `cat /proc/$$/fdinfo/1 > ${flags}`;
    const run = writer.start({ ...TOO_MUCH, child }, ['ignore', fifo.writer, 'inherit']);
    closeSync(fifo.writer);
    expect(await run.ended(6_000)).toBe(0);
    const octal = /flags:\s*(\d+)/.exec(readFileSync(flags, 'utf8'))?.[1] ?? '';
    expect(parseInt(octal, 8) & constants.O_NONBLOCK).toBe(0);
    expect((await run.report()).timerLateMs).toBeLessThan(500);
    closeSync(fifo.reader);
  });

  test('whose reader is slow gets every line, complete and in order', async () => {
    const fifo = openFifo('late');
    const run = writer.start({ ...TOO_MUCH, flushMs: 10_000 }, ['ignore', fifo.writer, 'inherit']);
    closeSync(fifo.writer);
    await run.hasWritten();
    let text = '';
    await waitFor('the end of the program', () => {
      for (let part = readNow(fifo.reader); part !== ''; part = readNow(fifo.reader)) text += part;
      return run.child.exitCode !== null;
    });
    text += readNow(fifo.reader);
    expectNumbered(text, 'stdout', 3_000);
    expect((await run.report()).isFlushed).toBe(true);
    closeSync(fifo.reader);
  });

  test('whose reader closes it loses lines, and changes nothing else', async () => {
    const fifo = openFifo('gone');
    const run = writer.start({ ...TOO_MUCH, timerMs: 100 }, ['ignore', fifo.writer, 'pipe']);
    closeSync(fifo.writer);
    let stderr = '';
    run.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await waitFor('the first line', () => readNow(fifo.reader).startsWith('ready'));
    closeSync(fifo.reader);
    expect(await run.ended(5_000)).toBe(0);
    expect(await run.report()).toMatchObject({ isFlushed: true });
    expect(stderr).toBe('');
  });

  test('that was closed before the start changes nothing', async () => {
    const fifo = openFifo('never');
    closeSync(fifo.reader);
    const run = writer.start({}, ['ignore', fifo.writer, 'inherit']);
    closeSync(fifo.writer);
    expect(await run.ended(5_000)).toBe(0);
  });

  test('shared by stdout and stderr gets the lines of both, complete and in order', async () => {
    const fifo = openFifo('both');
    const task = { lines: 60, width: 6_000, streams: ['stdout' as const, 'stderr' as const] };
    const run = writer.start({ ...task, flushMs: 10_000 }, ['ignore', fifo.writer, fifo.writer]);
    closeSync(fifo.writer);
    let text = '';
    await waitFor('the end of the program', () => {
      text += readNow(fifo.reader);
      return run.child.exitCode !== null;
    });
    for (let part = readNow(fifo.reader); part !== ''; part = readNow(fifo.reader)) text += part;
    const lines = text.trimEnd().split('\n').slice(1);
    expect(lines.map((line) => line.trimEnd().replace(/x*$/, '').trim())).toEqual(
      Array.from({ length: 120 }, (_, n) => `${n % 2 === 0 ? 'stdout' : 'stderr'} ${Math.floor(n / 2)}`),
    );
    closeSync(fifo.reader);
  });

  test('of another user, which cannot be reopened, is written through a relay', async () => {
    const fifo = openFifo('foreign');
    chmodSync(fifo.path, 0o600);
    const isRoot = process.getuid?.() === 0;
    if (!isRoot) chmodSync(fifo.path, 0);
    const run = writer.start(TOO_MUCH, ['ignore', fifo.writer, 'inherit'], isRoot ? { uid: 65_534 } : {});
    closeSync(fifo.writer);
    const relay = await relayOf(run.pid);
    expect(await run.ended(6_000)).toBe(0);
    const report = await run.report();
    expect(report.timerLateMs).toBeLessThan(500);
    expect(report.isFlushed).toBe(false);
    expect(report.flushTookMs).toBeLessThan(2_000);
    await waitUntilGone(relay, 2_000);
    closeSync(fifo.reader);
  });
});
