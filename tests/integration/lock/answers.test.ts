/**
 * A lock schema whose functions return invalid answers, as a hostile owner or a lying server may. Every one is refused.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { classify } from '../../../src/db/classify.js';
import type { LockCalls } from '../../../src/lock/calls.js';
import { describeThisProcess, newIdentity } from '../../../src/lock/lease.js';
import { verifyHistory } from '../../../src/admin/verify-history.js';
import { readSchemaVersion } from '../../../src/schema/schema-version.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openLock } from '../../support/lock.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

const TTL_MS = 30_000;

let db: TestDatabase;
let calls: LockCalls;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-answers-'));
});
beforeEach(async () => {
  calls = await openLock(db.url);
});
afterEach(async () => {
  calls.database.disconnect();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
});
afterAll(() => assertNothingLeft());

/** From now on the function returns this expression, which may use its parameters. */
async function answerWith(name: string, expression: string): Promise<void> {
  const [found] = await db.sql<{ parameters: string }[]>`
    SELECT pg_get_function_arguments(oid) AS parameters
      FROM pg_proc WHERE proname = ${name} AND pronamespace = 'migrate_lock'::regnamespace`;
  await db.sql.unsafe(`
    CREATE OR REPLACE FUNCTION migrate_lock.${name}(${found?.parameters ?? ''}) RETURNS jsonb
        LANGUAGE sql AS $answer$ SELECT ${expression} $answer$`);
}

const literal = (json: string) => `'${json.replaceAll("'", "''")}'::jsonb`;
const LEASE = `jsonb_build_object(
  'instanceId', p_instance_id, 'fencingToken', 7, 'host', 'h', 'pid', 1, 'dbRole', 'r', 'command', 'c', 'runKey', NULL,
  'lockedAtMs', 1790000000000, 'expiresAtMs', 1790000030000, 'heldMs', 0, 'expiresInMs', 30000, 'releasedAtMs', NULL)`;
const acquired = (lease: string, rest = '{}') =>
  `jsonb_build_object('outcome', 'acquired', 'lease', ${LEASE} || ${literal(lease)}, 'takeover', NULL, 'auditHash', NULL,
     'previousEnd', NULL) || ${literal(rest)}`;
const held = (rest: string) =>
  `jsonb_build_object('outcome', 'held', 'holder', NULL, 'queueLength', 1) || ${literal(rest)}`;

async function poll() {
  const attempt = await calls.poll(newIdentity(), describeThisProcess('c'), {
    ttlMs: TTL_MS,
    pollIntervalMs: 1_000,
    isLast: true,
    limitMs: LIMIT_MS,
    respect: null,
    orphans: null,
  });
  if (attempt === null) throw new Error('there is no lock schema');
  return attempt;
}

async function expectRefused(asking: Promise<unknown>): Promise<void> {
  const failure: unknown = await asking.then(
    (answer) => ({ answer }),
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: 'INVALID_ANSWER', exitCode: 78 });
  expect(classify(failure)).toBe('refused');
  expect((failure as Error).message.length).toBeLessThan(300);
}

describe('the answer to a poll', () => {
  test('is accepted when it is valid', async () => {
    await answerWith('poll', acquired('{}'));
    expect(await poll()).toMatchObject({ outcome: 'acquired', lease: { fencingToken: 7 } });
    await answerWith('poll', held('{"retryAfterMs": 100}'));
    expect(await poll()).toMatchObject({ outcome: 'held', retryAfterMs: 100, orphans: null, listens: false });
  });

  test.each([
    ['{"fencingToken": "1; touch x"}'],
    ['{"fencingToken": "7"}'],
    ['{"fencingToken": 1.5}'],
    ['{"fencingToken": 0}'],
    ['{"fencingToken": -1}'],
    ['{"fencingToken": null}'],
    ['{"fencingToken": [7]}'],
    ['{"fencingToken": {"valueOf": 7}}'],
    ['{"fencingToken": 1e300}'],
    ['{"fencingToken": 9007199254740993}'],
    ['{"instanceId": "another"}'],
    ['{"instanceId": null}'],
    ['{"instanceId": ["a"]}'],
    ['{"expiresInMs": "30000"}'],
    ['{"expiresInMs": null}'],
    ['{"expiresInMs": 1e400}'],
    ['{"expiresInMs": -1e300}'],
    ['{"lockedAtMs": null}'],
    ['{"lockedAtMs": 1e17}'],
    ['{"expiresAtMs": "2026-01-01"}'],
    ['{"heldMs": {}}'],
    ['{"host": 7}'],
    ['{"pid": "1"}'],
    ['{"pid": 1e10}'],
    ['{"command": {"a": 1}}'],
    ['{"releasedAtMs": "x"}'],
  ])('is accepted as acquired, with a lease of %s', async (lease) => {
    await answerWith('poll', acquired(lease));
    await expectRefused(poll());
  });

  test.each([
    [literal('null')],
    [literal('7')],
    [literal('"acquired"')],
    [literal('[]')],
    [literal('{}')],
    [literal('{"outcome": "won"}')],
    [literal('{"outcome": "toString"}')],
    [literal('{"outcome": ["acquired"]}')],
    ['NULL::jsonb'],
    [acquired('{}', '{"lease": null}')],
    [acquired('{}', '{"lease": []}')],
    [acquired('{}', '{"takeover": []}')],
    [
      acquired(
        '{}',
        '{"takeover": {"previousInstanceId": "a", "expiredMs": "1", "sessionsEnded": 0, "auditHash": null}}',
      ),
    ],
    [acquired('{}', '{"auditHash": "x"}')],
    [acquired('{}', '{"auditHash": 7}')],
    [held('{"retryAfterMs": -1}')],
    [held('{"retryAfterMs": 0}')],
    [held('{"retryAfterMs": 1e9}')],
    [held('{"retryAfterMs": "100"}')],
    [held('{"queueLength": -1}')],
    [held('{"queueLength": 1e308}')],
    [held('{"queueLength": "x"}')],
    [held('{"holder": []}')],
    [held('{"holder": {"instanceId": "a"}}')],
    [held('{"orphans": []}')],
    [held('{"orphans": {"sessions": {}, "denied": 0}}')],
    [
      held(
        '{"orphans": {"sessions": [{"pid": "1", "role": null, "state": null, "since": null}], "denied": 0}}',
      ),
    ],
    [held('{"listens": "yes"}')],
    [held('{"listening": -5}')],
    [literal('{"outcome": "settled", "run": null}')],
    [literal('{"outcome": "settled", "run": {"succeeded": "yes"}}')],
    [
      `${held('{}')} || jsonb_build_object('holder', ${LEASE} || jsonb_build_object('command', repeat('x', 10000000)))`,
    ],
  ])('is refused when it is invalid: #%#', async (answer) => {
    await answerWith('poll', answer);
    await expectRefused(poll());
  });

  test('never gives the holder a longer lease than it asked for, and has valid dates', async () => {
    await answerWith('poll', acquired('{"expiresInMs": 1e15, "expiresAtMs": 9e15, "lockedAtMs": -9e15}'));
    const attempt = await poll();
    if (attempt.outcome !== 'acquired') throw new Error(attempt.outcome);
    expect(attempt.lease.endsAtMs).toBeLessThanOrEqual(performance.now() + TTL_MS);
    expect(attempt.lease.expiresAt.toISOString()).toBe('9999-12-31T23:59:59.999Z');
    expect(attempt.lease.lockedAt.toISOString()).toBe('0000-01-01T00:00:00.000Z');
  });
});

describe('the answer to every other call', () => {
  const me = newIdentity();
  const NONSENSE = ['null', '7', '"x"', '[]', '{}', '[{}]', '{"outcome": "x"}', '{"outcome": "released"}'];
  const CALLS: [string, () => Promise<unknown>][] = [
    ['version', () => readSchemaVersion(calls.database, 'migrate_lock', LIMIT_MS)],
    ['read_run_key', () => calls.readRunKey({ runKey: 'k', commandSha256: 'sha' }, null)],
    ['release', () => calls.release(me)],
    ['leave', () => calls.leave(me, LIMIT_MS)],
    ['extend', () => calls.extend(me, TTL_MS)],
    ['status', () => calls.status()],
    ['history', () => calls.history(10, null)],
    ['chain', () => verifyHistory(calls)],
    ['unlock', () => calls.unlock('a', { force: true })],
    ['cleanup', () => calls.cleanup()],
    ['prune', () => calls.prune(1)],
  ];
  test.each(CALLS)('%s() is accepted when it is valid', async (name, ask) => {
    for (const answer of NONSENSE) {
      // An empty history.
      if (name === 'history' && answer === '[]') continue;
      await answerWith(name, literal(answer));
      await expectRefused(ask());
    }
  });

  test.each([
    ['extend', () => calls.extend(me, TTL_MS), '{"outcome": "extended", "lease": null, "auditHash": null}'],
    [
      'read_run_key',
      () => calls.readRunKey({ runKey: 'k', commandSha256: 'sha' }, null),
      '{"run": null, "isHeld": "no"}',
    ],
    ['status', () => calls.status(), '{"state": "open", "lease": null, "waiters": []}'],
    ['status', () => calls.status(), '{"state": "free", "lease": null, "waiters": [{"instanceId": 7}]}'],
    [
      'version',
      () => readSchemaVersion(calls.database, 'migrate_lock', LIMIT_MS),
      '{"version": "4", "oldestProgram": 1}',
    ],
    [
      'version',
      () => readSchemaVersion(calls.database, 'migrate_lock', LIMIT_MS),
      '{"version": 1e300, "oldestProgram": 1}',
    ],
    [
      'release',
      () => calls.release(me),
      '{"outcome": "released", "heldMs": 1e300, "late": false, "auditHash": null}',
    ],
    ['release', () => calls.release(me), '{"outcome": "lost", "holder": {}}'],
    ['prune', () => calls.prune(1), '{"runs": 0.5, "rows": -1}'],
  ])('%s() is refused when it is invalid: #%#', async (name, ask, answer) => {
    await answerWith(name, literal(answer));
    await expectRefused(ask());
  });

  test('a history that repeats one page for ever is refused', async () => {
    const row = `jsonb_build_object('id', 1, 'seq', NULL, 'event', 'wait.timeout', 'details', '{}'::jsonb, 'hash', NULL, 'text', 't')`;
    const ends = `jsonb_build_object('headSeq', 0, 'headHash', '', 'tailSeq', 0, 'tailHash', '')`;
    await answerWith(
      'chain',
      `jsonb_build_object('ends', ${ends}, 'rows', (SELECT jsonb_agg(${row}) FROM generate_series(1, 1000)))`,
    );
    await expectRefused(verifyHistory(calls));
  });
});

describe('a run', () => {
  const run = () =>
    runCli(['run', '--wait-timeout', '5s', '--', 'sh', '-c', `touch ${join(folder, 'ran')}`], {
      env: { DATABASE_URL: db.url },
    });

  test.each([
    ['a token that is a command', acquired('{"fencingToken": "1; touch x"}')],
    ['a wait for ever', held('{"retryAfterMs": -1}')],
    ['the lease of another instance', acquired('{"instanceId": "another"}')],
  ])('%s: exits with 78, and starts nothing', async (_, answer) => {
    await answerWith('poll', answer);
    const { code, stderr, events } = await run();
    expect(code).toBe(78);
    expect(stderr).toContain('an answer that is not valid');
    expect(events.map(({ event }) => event)).not.toContain('child.started');
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });
});
