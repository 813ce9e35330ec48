import { describe, expect, test } from '@jest/globals';
import type { BlockerSummary, SessionActivity } from '../../../src/events/events.js';
import { PLAIN } from '../../../src/ui/colour.js';
import { bar, describeSessions } from '../../../src/ui/session-table.js';
import { aboutSessions } from '../../../src/ui/session-text.js';

const IDLE: SessionActivity = {
  ...{
    pid: 4711,
    role: 'app',
    client: '10.0.0.7',
    state: 'idle',
    stateMs: 100,
    openMs: null,
    waitEvent: null,
  },
  ...{ statement: null, waiting: null, queued: 0, progress: null },
};
const WEB: BlockerSummary = {
  ...{
    pid: 812,
    role: 'shop',
    application: 'web',
    state: 'idle in transaction',
    openMs: 360_000,
    isOwn: false,
  },
};
const WAIT = {
  lock: 'relation',
  mode: 'AccessExclusiveLock',
  object: 'public.orders',
  ms: 21_000,
  blockers: [WEB],
};
const INDEX = {
  ...{
    command: 'CREATE INDEX CONCURRENTLY',
    object: 'public.orders',
    phase: 'building index: scanning table',
  },
  done: 0.439,
};

describe('the sentence about a command’s sessions', () => {
  test.each<[string, Partial<SessionActivity>[], string | undefined]>([
    ['none', [], undefined],
    ['nothing to say', [{}], undefined],
    [
      'a wait comes first',
      [
        { state: 'active', stateMs: 90_000 },
        { state: 'active', waiting: WAIT, queued: 3 },
      ],
      'database session 4711 (app) has waited 21s for public.orders, held by pid 812 (web, role shop, idle in transaction for 6m); 3 sessions wait behind it',
    ],
    [
      'a blocker that is hidden, of two',
      [
        {
          waiting: {
            ...WAIT,
            ms: null,
            blockers: [{ ...WEB, role: null, application: '', state: null, openMs: null }, WEB],
          },
        },
      ],
      'database session 4711 (app) waits for public.orders, held by pid 812 (hidden) and 1 more',
    ],
    [
      'a row, a prepared transaction',
      [{ waiting: { ...WAIT, lock: 'transactionid', blockers: [{ ...WEB, pid: 0 }] } }],
      'database session 4711 (app) has waited 21s for a row of public.orders, held by a prepared transaction',
    ],
    [
      'its own session',
      [{ waiting: { ...WAIT, lock: 'advisory', object: null, blockers: [{ ...WEB, isOwn: true }] } }],
      'database session 4711 (app) has waited 21s for an advisory lock, held by pid 812 (of the same command, idle in transaction for 6m)',
    ],
    [
      'progress',
      [{ state: 'active', stateMs: 5, progress: INDEX }],
      'CREATE INDEX CONCURRENTLY on public.orders: 43 % (building index: scanning table)',
    ],
    [
      'a statement',
      [{ state: 'active', stateMs: 5_000, statement: 'UPDATE t SET a = ?', queued: 1 }],
      'database session 4711 (app) has been active for 5s: UPDATE t SET a = ?; 1 session waits behind it',
    ],
  ])('%s', (_, sessions, sentence) => {
    expect(aboutSessions(sessions.map((session) => ({ ...IDLE, ...session })))).toBe(sentence);
  });
});

test('the table is aligned, and says what is hidden', () => {
  const sessions = [
    { ...IDLE, state: 'active', waiting: WAIT, statement: 'ALTER TABLE orders ADD COLUMN a text DEFAULT ?' },
    { ...IDLE, pid: 12, role: 'a_longer_role', state: null, stateMs: null, progress: INDEX },
  ];
  expect(describeSessions({ sessions, sessionsUnknown: null }, PLAIN)).toEqual([
    'The database sessions of its command:',
    '',
    '  pid   role           client    state   for    wait event',
    '  4711  app            10.0.0.7  active  100ms  -',
    '      ALTER TABLE orders ADD COLUMN a text DEFAULT ?',
    '      has waited 21s for public.orders, held by pid 812 (web, role shop, idle in transaction for 6m)',
    '  12    a_longer_role  10.0.0.7  hidden  -      -',
    '      [#########-----------] CREATE INDEX CONCURRENTLY on public.orders: 43 % (building index: scanning table)',
    '',
    '"hidden": PostgreSQL shows it to the session\'s own role and to pg_read_all_stats (GRANT pg_read_all_stats TO ...).',
    '',
  ]);
  expect(describeSessions({ sessions: null, sessionsUnknown: 'no\u001b[2J' }, PLAIN)).toEqual([
    'The database sessions of its command are not known: no\\x1b[2J',
    '',
  ]);
});

test.each([
  [-1, '[--------------------]'],
  [0.5, '[##########----------]'],
  [7, '[####################]'],
])('a bar for %d', (share, shown) => {
  expect(bar(share)).toBe(shown);
});
