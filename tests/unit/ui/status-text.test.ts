import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeStatus, type StatusReport } from '../../../src/ui/status-text.js';

/** Control characters of a terminal, or text that imitates another line. */
// eslint-disable-next-line no-control-regex -- they are what must not be there
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

const CLIENT = {
  instanceId: 'V1StGXR8_Z5jdHi6B-myT',
  host: 'web-1',
  pid: 7,
  dbRole: 'deploy',
  command: 'knex migrate:latest',
  runKey: null,
};
const LEASE = {
  ...CLIENT,
  fencingToken: 42,
  lockedAt: '2026-01-31T12:00:00.000Z',
  heldMs: 18_000,
  expiresAt: '2026-01-31T12:00:30.000Z',
  expiresInMs: 12_000,
  releasedAt: null,
};
const HELD: StatusReport = {
  database: 'app',
  schema: 'migrate_lock',
  state: 'held',
  lease: LEASE,
  waiters: [],
  watchers: 0,
  sessions: null,
  sessionsUnknown: null,
  uncleanEnds: [],
  isReplica: false,
};

describe('describeStatus', () => {
  test('held: names the holder, the start, the end, and the waiters', () => {
    const waiters = [
      { ...CLIENT, instanceId: 'first', host: 'web-2', pid: 8, runKey: 'release 17', waitingMs: 4_000 },
      { ...CLIENT, instanceId: 'second', host: null, pid: null, command: null, waitingMs: 250 },
    ];
    expect(describeStatus({ ...HELD, lease: { ...LEASE, runKey: 'release 17' }, waiters })).toEqual([
      'The lock of app (schema migrate_lock) is held.',
      '',
      '  instance id    V1StGXR8_Z5jdHi6B-myT',
      '  fencing token  42',
      '  host           web-1',
      '  pid            7',
      '  role           deploy',
      '  command        knex migrate:latest',
      '  run key        release 17',
      '  since          2026-01-31T12:00:00.000Z (18s ago)',
      '  until          2026-01-31T12:00:30.000Z (in 12s)',
      '  left           [########------------] 12s of 30s',
      '',
      '2 wait, in order of arrival:',
      '',
      '  1. first on web-2 (pid 8), role deploy, run key release 17, for 4s: knex migrate:latest',
      '  2. second, role deploy, for 250ms',
    ]);
  });

  test('expired: says since when, and what happens next', () => {
    const lines = describeStatus({
      ...HELD,
      state: 'expired',
      lease: { ...LEASE, heldMs: 90_000, expiresInMs: -60_000 },
      waiters: [{ ...CLIENT, waitingMs: 1_000 }],
    });
    expect(lines[0]).toBe(
      'The lock of app (schema migrate_lock) is not held: the lease has expired without a release, and the next run takes over.',
    );
    expect(lines).toContain('  since          2026-01-31T12:00:00.000Z (1m 30s ago)');
    expect(lines).toContain('  until          2026-01-31T12:00:30.000Z (1m ago)');
    expect(lines).toContain('1 waits:');
  });

  test('free: names the last holder', () => {
    const lines = describeStatus({
      ...HELD,
      state: 'free',
      lease: { ...LEASE, releasedAt: '2026-01-31T12:00:05.000Z' },
    });
    expect(lines[0]).toBe('The lock of app (schema migrate_lock) is free; this was the last holder.');
    expect(lines).toContain('  released       2026-01-31T12:00:05.000Z');
    expect(lines.some((line) => line.startsWith('  until'))).toBe(false);
    expect(lines.at(-1)).toBe('There are no waiters.');
  });

  test('free: says that the lock was never used', () => {
    expect(describeStatus({ ...HELD, state: 'free', lease: null })).toEqual([
      'The lock of app (schema migrate_lock) is free; it has not been used yet.',
      '',
      'There are no waiters.',
    ]);
  });

  test('on a replica: says that the waiters are not known', () => {
    expect(describeStatus({ ...HELD, isReplica: true }).at(-1)).toContain('replica');
  });

  test('prints control characters and line breaks of others as plain text', () => {
    const honest = describeStatus({ ...HELD, waiters: [{ ...CLIENT, waitingMs: 1 }] }).length;
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const client = { instanceId: text, host: text, dbRole: text, command: text };
        const lines = describeStatus({
          ...HELD,
          database: text,
          schema: text,
          lease: { ...LEASE, ...client },
          waiters: [{ ...CLIENT, ...client, runKey: text, waitingMs: 1 }],
        });
        expect(lines).toHaveLength(honest);
        for (const line of lines) expect(line).not.toMatch(OBEYED);
      }),
    );
  });
});
