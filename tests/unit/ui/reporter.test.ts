import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Output } from '../../../src/output/output.js';
import { UsageError } from '../../../src/errors.js';
import { createEventStream } from '../../../src/events/event-stream.js';
import { wantsColour } from '../../../src/ui/colour.js';
import { printable } from '../../../src/ui/printable.js';
import { createReporter } from '../../../src/ui/reporter.js';

/** Control characters of a terminal, or text that imitates another line. */
// eslint-disable-next-line no-control-regex -- they are what must not be there
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

function reporting(options: { quiet?: boolean; colour?: boolean } = {}) {
  const lines: string[] = [];
  const output: Output = {
    writeLine: (text) => lines.push(text),
    flush: () => Promise.resolve(true),
    close: () => undefined,
  };
  const reporter = createReporter(output, { quiet: false, colour: false, ...options });
  const context = { instanceId: 'a', host: 'h', pid: 1, database: 'd', schema: 's' };
  return { lines, reporter, emit: createEventStream(context, [reporter.onEvent]).emit };
}

describe('createReporter', () => {
  test('writes one line for each step, and a second one for a hint', () => {
    const { lines, reporter, emit } = reporting();
    emit({ event: 'lock.released', heldMs: 5, auditHash: null });
    emit({ event: 'error', code: 'X', message: 'wrong', hint: 'do this' });
    emit({ event: 'error', code: 'X', message: 'wrong' });
    emit({ event: 'run.finished', outcome: 'error', exitCode: 1, durationMs: 1 });
    reporter.warn('left out: schema');
    reporter.error(new UsageError('no such option', 'see --help'));
    expect(lines).toEqual([
      'migrate-lock: released the lock after 5ms',
      'migrate-lock: wrong',
      'migrate-lock: do this',
      'migrate-lock: wrong',
      'migrate-lock: left out: schema',
      'migrate-lock: no such option',
      'migrate-lock: see --help',
    ]);
  });

  test('does not call a command successful of which --max-block has ended a statement', () => {
    const { lines, emit } = reporting();
    const about = { sessionPid: 1, role: null, state: null, statement: null, object: null };
    const started = { event: 'child.started', childPid: 1, command: 'c', deadlineMs: 1_000 } as const;
    const exited = { event: 'child.exited', exitCode: 0, signal: null, durationMs: 1_000 } as const;
    for (const action of ['cancelled', 'reported'] as const) {
      emit(started);
      emit({ event: 'database.blocking', ...about, waiting: 1, waitedMs: 1, action, reason: null });
      emit(exited);
    }
    expect(lines.filter((line) => line.includes('after'))).toEqual([
      'migrate-lock: the command ended with exit code 0 after 1s',
      'migrate-lock: the command succeeded after 1s',
    ]);
  });

  test('writes only failures with quiet', () => {
    const { lines, reporter, emit } = reporting({ quiet: true });
    emit({ event: 'lock.released', heldMs: 5, auditHash: null });
    emit({ event: 'child.leftover', count: 1 });
    reporter.warn('left out: schema');
    emit({ event: 'lock.lost', holder: null });
    reporter.error(new UsageError('no', ''));
    expect(lines).toEqual([
      'migrate-lock: the lease was lost before its end: the lock is not held any more',
      'migrate-lock: no',
    ]);
  });

  test('uses colour by tone, and only on request', () => {
    const { lines, emit } = reporting({ colour: true });
    emit({ event: 'lock.released', heldMs: 5, auditHash: null });
    emit({ event: 'lock.lost', holder: null });
    const [good = '', bad = ''] = lines;
    expect(good).toContain('\u001b[32m');
    expect(bad).toContain('\u001b[31m');
  });

  test('prints control characters and line breaks of others as plain text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { lines, reporter, emit } = reporting();
        const holder = {
          holder: text,
          holderHost: text,
          holderCommand: text,
          heldMs: 1,
          expiresInMs: 1,
          queueLength: 1,
        };
        emit({ event: 'lock.waiting', ...holder, waitedMs: 1 });
        emit({ event: 'error', code: text, message: text, hint: `${text}.` });
        reporter.error(new Error(text));
        for (const line of lines) expect(line).not.toMatch(OBEYED);
        expect(lines.every((line) => line.startsWith('migrate-lock: '))).toBe(true);
      }),
    );
  });
});

test('printable makes removed characters visible', () => {
  expect(printable('a\u001b[2J\r\n\tb\u009b\u202eé😀')).toBe('a\\x1b[2J\\r\\n\\tb\\x9b\\u202eé😀');
});

test.each([
  [{}, true, true],
  [{}, false, false],
  [{ TERM: 'dumb' }, true, false],
  [{ NO_COLOR: '1' }, true, false],
  [{ NO_COLOR: '' }, true, true],
  [{ NO_COLOR: '1', FORCE_COLOR: '1' }, true, false],
  [{ FORCE_COLOR: '1' }, false, true],
  [{ FORCE_COLOR: '', TERM: 'dumb' }, false, true],
  [{ FORCE_COLOR: '0' }, true, false],
  [{ FORCE_COLOR: 'false' }, true, false],
])('colour with %j, terminal %j: %j', (env, isTerminal, expected) => {
  expect(wantsColour(env, isTerminal)).toBe(expected);
});
