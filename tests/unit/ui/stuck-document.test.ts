/** The part "Stuck?" of docs/operations.md quotes sentences: they are those of the program. */
import { expect, test } from '@jest/globals';
import type { BlockerSummary, SessionActivity } from '../../../src/events/events.js';
import { aboutProgress, aboutWait } from '../../../src/ui/session-text.js';
import { describeSessions } from '../../../src/ui/session-table.js';
import { PLAIN } from '../../../src/ui/colour.js';
import { tableOf } from '../../support/documents.js';

const blocker: BlockerSummary = {
  pid: 813,
  role: 'app',
  application: 'web',
  state: 'active',
  openMs: 1_000,
  isOwn: false,
};
const idle: SessionActivity = {
  ...{ pid: 4711, role: 'app', client: null, state: 'idle in transaction', stateMs: 1_000, openMs: 1_000 },
  ...{ waitEvent: null, statement: null, waiting: null, queued: 3, progress: null },
};
const waiting = (lock: string, object: string | null, by: Partial<BlockerSummary> = {}) =>
  aboutWait({
    ...idle,
    state: 'active',
    waiting: { lock, mode: 'ShareLock', object, ms: 1_000, blockers: [{ ...blocker, ...by }] },
  });

/** What stands between code marks. */
const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);

test('what a session waits for', () => {
  const said = [
    waiting('relation', 'public.orders'),
    waiting('relation', null),
    waiting('transactionid', 'public.orders'),
    waiting('tuple', null),
    waiting('virtualxid', null),
    waiting('advisory', null),
    waiting('relation', 'public.orders', { pid: 0 }),
    waiting('relation', 'public.orders', { isOwn: true }),
  ];
  const rows = tableOf('docs/operations.md', 'it says', 'what is in the way', 'what to do');
  expect(rows).toHaveLength(said.length);
  for (const text of rows.flatMap(([cell]) => quoted(cell))) {
    const parts = text.split(/\.\.\.\)$/);
    expect([text, said.filter((sentence) => sentence.includes(parts[0] ?? ''))]).not.toEqual([text, []]);
  }
});

test('what else status shows', () => {
  const progress = { command: 'CREATE INDEX', object: 'public.orders', phase: 'building index', done: 0.43 };
  const said = [
    aboutProgress({ ...idle, progress }),
    ...[[idle], [{ ...idle, state: 'active' }], [{ ...idle, state: null }], []].flatMap((sessions) =>
      describeSessions({ sessions, sessionsUnknown: null }, PLAIN),
    ),
  ].join('\n');
  const rows = tableOf('docs/operations.md', '`status` shows', 'what it means', 'what to do');
  for (const text of rows.flatMap(([cell]) => quoted(cell)))
    expect(said).toContain(text.replace(/^N /, '3 '));
});
