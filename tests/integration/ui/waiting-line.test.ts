import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DescriptorOutput } from '../../../src/output/descriptor-output.js';
import type { RawOutput } from '../../../src/output/output.js';
import { createEventStream } from '../../../src/events/event-stream.js';
import type { HolderSummary, EventBody } from '../../../src/events/events.js';
import { ERASE, fitted } from '../../../src/ui/drawing.js';
import { LiveOutput } from '../../../src/ui/live-output.js';
import { createReporter } from '../../../src/ui/reporter.js';
import { canRedraw } from '../../../src/ui/terminal.js';
import { screenOf } from '../../support/screen.js';
import { waitFor } from '../../support/wait-for.js';

const COLUMNS = 120;
const holder: HolderSummary = {
  holder: 'V1StGXR8',
  holderHost: 'web-7f9',
  holderCommand: 'knex migrate:latest',
  heldMs: 18_000,
  expiresInMs: 11_000,
};
const waiting = (summary: Partial<HolderSummary> = {}, queueLength = 9): EventBody => ({
  event: 'lock.waiting',
  ...holder,
  ...summary,
  queueLength,
  waitedMs: 12_000,
});
const LINE = 'waiting 12s · held by web-7f9 (knex migrate:latest) for 18s · lease ends in 11s · 9 waiting';
const acquired: EventBody = {
  event: 'lock.acquired',
  waitedMs: 12_000,
  polls: 3,
  ttlMs: 30_000,
  expiresAt: '2026-01-02T03:04:35.000Z',
  auditHash: null,
  previousEnd: null,
};
const ACQUIRED = 'migrate-lock: acquired the lock after 12s (token unknown), for 30s';
const finished: EventBody = { event: 'run.finished', outcome: 'error', exitCode: 1, durationMs: 1 };

/** Every wait that a test has begun, so that all of them are ended. */
const toEnd: ((event: EventBody) => void)[] = [];
afterEach(() => {
  for (const emit of toEnd.splice(0)) emit(finished);
});

interface Settings {
  quiet?: boolean;
  isOurs?: () => boolean;
}

function reporting(output: RawOutput, { quiet = false, isOurs = () => true }: Settings = {}) {
  const live = new LiveOutput(output, { columns: () => COLUMNS, isOurs });
  const reporter = createReporter(live, { quiet, colour: false, live });
  const context = { instanceId: 'a', host: 'h', pid: 1, database: 'd', schema: 's' };
  const { emit } = createEventStream(context, [reporter.onEvent]);
  toEnd.push(emit);
  return { live, emit };
}

/** A terminal that accepts everything. */
function terminal(settings?: Settings) {
  const sent: string[] = [];
  const output: RawOutput = {
    write: (text) => sent.push(text),
    writeLine: (text) => sent.push(`${text}\n`),
    isIdle: true,
    flush: () => Promise.resolve(true),
    close: () => undefined,
  };
  const screen = () => screenOf(sent.join(''));
  return { ...reporting(output, settings), sent, screen };
}

describe('a wait', () => {
  test('is one line, which counts by itself, and is removed with the wait', async () => {
    const { emit, screen, sent } = terminal();
    emit(waiting());
    await waitFor('the line', () => screen().join() === LINE);
    await waitFor('its next second', () =>
      /^waiting 1[3-9]s · .* for 19|2\ds · lease ends in ([89]|10)s · 9 waiting$/.test(screen().join()),
    );
    expect(sent.join('')).not.toContain('\n');
    emit(acquired);
    expect(screen()).toEqual([ACQUIRED, '']);
  }, 20_000);

  test('shows a change at once', async () => {
    const { emit, screen } = terminal();
    emit(waiting());
    await waitFor('the line', () => screen().join() === LINE);
    emit(waiting({ holderHost: 'web-2', holderCommand: null, expiresInMs: 0 }, 1));
    expect(screen()).toEqual(['waiting 12s · held by web-2 for 18s · lease has expired']);
    emit(waiting({ holder: null, heldMs: null, expiresInMs: null }, 2));
    expect(screen()).toEqual([
      'waiting 12s · another instance is just acquiring or releasing it · 2 waiting',
    ]);
  });

  test('disappears for every other line, and returns only while the wait lasts', async () => {
    const { emit, live, screen } = terminal();
    emit(waiting());
    await waitFor('the line', () => screen().join() === LINE);
    live.writeLine('{"an audit":"event"}');
    emit({ event: 'guard.absent', reason: 'no sh' });
    const above = screen().slice(0, -1);
    expect(above).toEqual(['{"an audit":"event"}', expect.stringContaining('there is no guard')]);
    expect(screen().at(-1)).toBe('');
    await waitFor('the line again', () => screen().at(-1)?.startsWith('waiting 1'), { limitMs: 5_000 });
    emit({ event: 'database.unavailable', code: 'X', message: 'gone', attempts: 1 });
    expect(screen().at(-1)).toBe('');
    emit(waiting());
    await waitFor('the line after all', () => screen().at(-1) === LINE);
    await live.flush(0);
    expect(screen().at(-1)).toBe('');
  }, 20_000);

  test('that ends before it is shown writes nothing', async () => {
    const { emit, screen, live } = terminal();
    emit(waiting());
    emit(acquired);
    await live.load();
    expect(screen()).toEqual([ACQUIRED, '']);
  });

  test('is a plain line in the background, where others write to the last line', async () => {
    let isOurs = false;
    const { emit, screen, sent, live } = terminal({ isOurs: () => isOurs });
    await live.load();
    emit(waiting());
    expect(screen()).toEqual([expect.stringMatching(/^migrate-lock: waiting for the lock: held by/), '']);
    isOurs = true;
    emit(waiting());
    await waitFor('the line', () => screen().at(-1) === LINE);
    isOurs = false;
    const before = sent.length;
    emit(acquired);
    expect(sent.slice(before).join('')).toBe(`${ACQUIRED}\n`);
  });

  test('writes nothing with --quiet', async () => {
    const { emit, live, sent } = terminal({ quiet: true });
    await live.load();
    emit(waiting());
    emit(acquired);
    expect(sent).toEqual([]);
  });
});

test('a stopped terminal misses updates: none is queued', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-terminal-'));
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const output = new DescriptorOutput(fd, { owned: false });
  try {
    const { emit, live } = reporting(output);
    await live.load();
    const filler = 'x'.repeat(4_095);
    while (output.isIdle) output.writeLine(filler);
    for (let n = 0; n < 1_000; n++) emit(waiting({}, n));
    emit(acquired);
    const drained = await drain(fd, output);
    expect(drained.replaceAll(`${filler}\n`, '')).toBe(`${ACQUIRED}\n`);

    emit(waiting());
    await waitFor('the line', async () => (await drain(fd, output)).includes(LINE), { limitMs: 5_000 });
    emit(acquired);
    expect(await drain(fd, output)).toBe(`${ERASE}${ACQUIRED}\n`);
  } finally {
    output.close();
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
});

/** The output of the pipe until nothing is left to write. */
async function drain(fd: number, output: DescriptorOutput): Promise<string> {
  const buffer = Buffer.alloc(1_000_000);
  let text = '';
  await waitFor('everything written', () => {
    const isLast = output.isIdle;
    try {
      for (;;) text += buffer.toString('utf8', 0, readSync(fd, buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return isLast;
  });
  return text;
}

describe('the waiting line', () => {
  test('is cut to the width of the terminal, with room for a ^C', () => {
    expect(fitted(LINE, COLUMNS)).toBe(LINE);
    expect(fitted(LINE, 23)).toBe('waiting 12s · held …');
    // Each of them takes two columns.
    const [wide = ''] = /^漢+(?=…$)/.exec(fitted('漢'.repeat(100), 23)) ?? [];
    expect(wide.length).toBeGreaterThan(8);
    expect(2 * wide.length + 1).toBeLessThan(23);
    expect(fitted(LINE, 1)).toBe('…');
  });

  test('stays one line for any text of others', async () => {
    const { live, emit, sent, screen } = terminal();
    await live.load();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async (text) => {
        sent.length = 0;
        emit(waiting({ holder: text, holderHost: text, holderCommand: text }));
        await waitFor('the line', () => sent.length > 0, { intervalMs: 1 });
        expect(screen()).toHaveLength(1);
        expect(screen().join()).toMatch(/^waiting 12s · held by /);
        emit(finished);
        expect(screen()).toEqual(['']);
      }),
    );
  });
});

let folder: string;
let notATerminal: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-terminal-'));
  notATerminal = openSync(join(folder, 'file'), 'w');
});
afterEach(() => {
  closeSync(notATerminal);
  rmSync(folder, { recursive: true });
});

test('a file does not count as a terminal, whatever the environment says', () => {
  expect(canRedraw({ TERM: 'xterm', FORCE_COLOR: '1' }, notATerminal)).toBe(false);
});
