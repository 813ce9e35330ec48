/**
 * For any data, output for people contains no control characters of it, and stdout has one line of JSON for each event.
 */
import { execFileSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEventLog, escapeForTerminals } from '../../../src/events/json-lines.js';
import type { RawOutput } from '../../../src/output/output.js';
import { MigrateLockError } from '../../../src/errors.js';
import { EVENT_NAMES, type MigrateLockEvent } from '../../../src/events/events.js';
import { formatMoment } from '../../../src/text/moment.js';
import { describeEntry } from '../../../src/ui/history-text.js';
import { LiveOutput } from '../../../src/ui/live-output.js';
import { createReporter } from '../../../src/ui/reporter.js';
import { describeStatus } from '../../../src/ui/status-text.js';
import { unlockLine } from '../../../src/text/unlock-line.js';
import { common, SAMPLES } from '../../unit/events/event-samples.js';
import { parseAuditLine } from '../../support/audit-line.js';
import { anyText, HOSTILE, RAW_CONTROL } from '../../support/hostile-text.js';
import { screenOf } from '../../support/screen.js';

const RUNS = { numRuns: 1_000 };
/** Fields whose text is migrate-lock's own. */
const OURS = new Set([
  'auditHash',
  'event',
  'time',
  'expiresAt',
  'finishedAt',
  'signal',
  'outcome',
  'action',
]);
const REASON_IS_OURS = new Set<string>(['run.skipped', 'database.blocking', 'child.retries_ended']);
/** Required texts: an empty one is a defect, not a matter of the data. */
const NEVER_EMPTY = new Set([
  'instanceId',
  'host',
  'database',
  'schema',
  'code',
  'message',
  'reason',
  'command',
  'hint',
  'runKey',
  'tool',
  'recovery',
]);

const samples = EVENT_NAMES.flatMap((event) => SAMPLES[event].map((own) => ({ ...common, ...own, event })));
/** Every kind of event, with hostile text in each field that others can write. */
const events: fc.Arbitrary<MigrateLockEvent> = fc
  .tuple(fc.constantFrom(...samples), fc.array(anyText, { minLength: 12, maxLength: 12 }))
  .map(([sample, texts]) => {
    const fields = Object.entries(sample).map(([name, value]: [string, unknown], at): [string, unknown] => {
      const isOurs = OURS.has(name) || (REASON_IS_OURS.has(sample.event) && name === 'reason');
      if (typeof value !== 'string' || isOurs) return [name, value];
      const text = texts[at % texts.length] ?? '';
      return [name, NEVER_EMPTY.has(name) ? `x${text}` : text];
    });
    return { ...sample, ...Object.fromEntries(fields) } as MigrateLockEvent;
  });

const finished = samples.find(({ event }) => event === 'run.finished') as MigrateLockEvent;

function collect(): { lines: string[]; output: RawOutput; text: () => string } {
  const lines: string[] = [];
  let text = '';
  const output: RawOutput = {
    writeLine: (line) => {
      lines.push(line);
      text += `${line}\n`;
    },
    write: (piece) => void (text += piece),
    isIdle: true,
    flush: () => Promise.resolve(true),
    close: () => undefined,
  };
  return { lines, output, text: () => text };
}

test('every event on stderr is printed safely', () => {
  fc.assert(
    fc.property(events, (event) => {
      const { lines, output } = collect();
      createReporter(output, { quiet: false, colour: false }).onEvent(event);
      expect(lines.join('')).not.toMatch(RAW_CONTROL);
    }),
    RUNS,
  );
});

test('every event on stdout is one line of the same data, valid against the schema', () => {
  fc.assert(
    fc.property(events, (event) => {
      const { lines, output } = collect();
      createEventLog(output)(event);
      expect(lines).toHaveLength(1);
      expect(lines[0]).not.toMatch(RAW_CONTROL);
      expect(parseAuditLine(lines[0] ?? '')).toEqual(event);
    }),
    RUNS,
  );
});

test('the waiting line on a terminal is printed safely', async () => {
  const { output, text } = collect();
  const live = new LiveOutput(output, { columns: () => 100, isOurs: () => true });
  await live.load();
  const { onEvent } = createReporter(live, { quiet: false, colour: false, live });
  const waits = events.filter(({ event }) => event === 'lock.waiting');
  let before = 0;
  fc.assert(
    fc.property(waits, (event) => {
      onEvent(event);
      onEvent(event); // the first one begins to draw, the next one draws
      const drawn = text().slice(before);
      before = text().length;
      expect(drawn).toContain('waiting ');
      // Only erasing the line, and the return to its start: screenOf() throws for all other escape sequences.
      expect(screenOf(drawn)).toHaveLength(1);
      expect(screenOf(drawn).join('')).not.toMatch(RAW_CONTROL);
    }),
    { numRuns: 300 },
  );
  onEvent(finished);
});

test('errors and warnings are printed safely', () => {
  fc.assert(
    fc.property(anyText, anyText, (message, hint) => {
      const { lines, output } = collect();
      const reporter = createReporter(output, { quiet: false, colour: false });
      reporter.error(new MigrateLockError(message, { code: 'DATABASE_FAULT', exit: 'refused', hint }));
      reporter.error(new Error(message));
      reporter.warn(message);
      expect(lines.join('')).not.toMatch(RAW_CONTROL);
    }),
    RUNS,
  );
});

const textOrNull = fc.option(anyText);
const client = fc.record({
  instanceId: anyText,
  host: textOrNull,
  pid: fc.option(fc.integer()),
  dbRole: anyText,
  command: textOrNull,
  runKey: textOrNull,
});
/** From the first to the last time of PostgreSQL, and beyond. */
const moment = fc.double({ min: -1e17, max: 1e17, noNaN: true }).map(Math.round);
const lease = fc.tuple(client, moment, moment, fc.option(moment)).map(([known, from, to, released]) => ({
  ...known,
  fencingToken: 1,
  heldMs: from,
  expiresInMs: to,
  lockedAt: formatMoment(from),
  expiresAt: formatMoment(to),
  releasedAt: released === null ? null : formatMoment(released),
}));
const session = fc.record({
  pid: fc.nat(),
  role: textOrNull,
  client: textOrNull,
  state: textOrNull,
  stateMs: fc.option(fc.nat()),
  openMs: fc.option(fc.nat()),
  waitEvent: textOrNull,
  statement: textOrNull,
  waiting: fc.option(
    fc.record({
      lock: anyText,
      mode: anyText,
      object: textOrNull,
      ms: fc.option(fc.nat()),
      blockers: fc.array(
        fc.record({
          pid: fc.nat(),
          role: textOrNull,
          application: textOrNull,
          state: textOrNull,
          openMs: fc.option(fc.nat()),
          isOwn: fc.boolean(),
        }),
        { maxLength: 3 },
      ),
    }),
  ),
  queued: fc.nat(),
  progress: fc.option(
    fc.record({
      command: anyText,
      object: textOrNull,
      phase: textOrNull,
      done: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    }),
  ),
});
const report = fc.record({
  database: anyText,
  schema: anyText,
  state: fc.constantFrom('free', 'held', 'expired'),
  lease: fc.option(lease),
  waiters: fc.array(
    fc.tuple(client, moment).map(([known, waitingMs]) => ({ ...known, waitingMs })),
    {
      maxLength: 3,
    },
  ),
  watchers: fc.option(fc.nat()),
  sessions: fc.option(fc.array(session, { maxLength: 3 })),
  sessionsUnknown: textOrNull,
  uncleanEnds: fc.array(
    fc.record({
      kind: fc.constantFrom('signalled', 'deadline', 'killed', 'expired', 'unlocked', 'leftovers'),
      instanceId: anyText,
      command: textOrNull,
      endedAt: anyText,
    }),
  ),
  isReplica: fc.boolean(),
});
const details = fc.oneof(
  fc.dictionary(anyText, fc.oneof(anyText, fc.jsonValue()), { maxKeys: 4 }),
  // Written by hand, or by another version: JSON of any kind.
  fc.jsonValue().map((value) => value as Record<string, unknown>),
);
const entry = fc.record({
  id: fc.nat(),
  at: moment.map(formatMoment),
  atMs: moment,
  event: anyText,
  instanceId: textOrNull,
  fencingToken: fc.option(fc.integer()),
  dbRole: anyText,
  clientAddress: textOrNull,
  applicationName: textOrNull,
  details,
  auditHash: textOrNull,
});

test('status and history are printed safely, as text and as JSON', () => {
  fc.assert(
    fc.property(report, entry, (status, row) => {
      for (const line of [...describeStatus(status), describeEntry(row)])
        expect(line).not.toMatch(RAW_CONTROL);
      for (const told of [status, row]) {
        const json = escapeForTerminals(JSON.stringify(told));
        expect(json).not.toMatch(RAW_CONTROL);
        expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(told)));
      }
    }),
    RUNS,
  );
});

test('a time is printed in one form for any input', () => {
  fc.assert(
    fc.property(moment, (ms) => {
      expect(formatMoment(ms)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }),
    RUNS,
  );
});

test('the proposed unlock command holds the instance id as one shell word', () => {
  const texts = [...fc.sample(anyText, 100), ...HOSTILE];
  const ids = [...texts, ...texts.map((id) => `-${id}`)].map((id) => id.replace(/[\0\p{Surrogate}]/gu, ''));
  const lines = ids.map((id) => unlockLine(id).replace('migrate-lock', 'show'));
  const script = `show() { printf '%s\\0' "$#" "$3" "$4"; }\n${lines.join('\n')}`;
  const shown = execFileSync('sh', ['-c', script]).toString();
  expect(shown.split('\0').slice(0, -1)).toEqual(
    ids.flatMap((id) => (id.startsWith('-') ? ['3', `--instance=${id}`, ''] : ['4', '--instance', id])),
  );
});
