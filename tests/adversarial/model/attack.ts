import { isDeepStrictEqual } from 'node:util';
import { expect } from '@jest/globals';
import fc from 'fast-check';
import { CALLABLE, ODD, type CallableName, type Parameter, type Target, type Value } from './callable.js';
import type { Answer, Tables } from './calls.js';
import type { LockModel } from './lock-model.js';
import type { RealLock } from './real-lock.js';

/** A call of an admitted role that does not hold the lock. */
export interface Attack {
  call: CallableName;
  /** It knows the secret of the named instance from the server's log. */
  knowsSecret: boolean;
  /** Parameters by position, and the index of their odd value; larger numbers wrap around. */
  odd: readonly { parameter: number; value: number }[];
}

const THAT_CHANGE = [
  'poll',
  'release',
  'leave',
  'extend',
  'assert_held',
  'cleanup',
  'unblock',
  'settle',
] as const;
const THAT_READ = [
  'version',
  'read_run_key',
  'watch',
  'status',
  'activity',
  'blocking',
  'history',
  'chain',
] as const;
const odd = fc.record({
  parameter: fc.nat({ max: 99 }),
  // NULL is the value that was forgotten most often.
  value: fc.oneof(fc.constant(0), fc.nat({ max: 99 })),
});

export const attack: fc.Arbitrary<Attack> = fc.record({
  call: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...THAT_CHANGE) },
    { weight: 3, arbitrary: fc.constant('release' as const) },
    // Only a waiter can leave, and few targets wait.
    { weight: 3, arbitrary: fc.constant('leave' as const) },
    { weight: 1, arbitrary: fc.constantFrom(...THAT_READ) },
  ),
  knowsSecret: fc.oneof(
    { weight: 3, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  odd: fc.oneof(
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.array(odd, { minLength: 1, maxLength: 3 }) },
  ),
});

/** The outcomes of a call that did not get what it asked for. */
const REFUSALS: Record<string, readonly string[]> = {
  poll: ['held', 'settled', 'schema'],
  release: ['refused', 'lost', 'already_released'],
  leave: ['left'],
  extend: ['refused'],
  unblock: ['refused'],
  settle: ['refused'],
};
/** Not allowed, not admitted, not held. */
const ERRORS = ['ML001', '42501', '55000'];
/** A call that only reads need not refuse a number that is no valid time in PostgreSQL. */
const ERRORS_OF_READERS = [...ERRORS, '22008'];
const HOUR_US = 3600 * 1e6;

/**
 * Another role calls a function while an instance holds the lock. Nothing of the lease, the waiters, the runs and the
 * history
 * may differ afterwards, except a row about this attempt, and a waiter of the other role.
 */
export async function executeAttack(
  { call, knowsSecret, odd }: Attack,
  target: Target,
  { attacker, observer, model }: { attacker: RealLock; observer: RealLock; model: LockModel },
): Promise<void> {
  const parameters = Object.entries<Parameter>(CALLABLE[call]);
  const known = knowsSecret ? target : { ...target, secret: 'a guess' };
  const values = parameters.map(([, { usual }]) => usual(known));
  for (const { parameter, value } of parameters.length > 0 ? odd : []) {
    const place = parameter % parameters.length;
    const oddValues: readonly Value[] = ODD[parameters[place]?.[1].type ?? 'text'];
    values[place] = oddValues[value % oddValues.length] ?? null;
  }
  const given = parameters.map(([name, { type }], n) => `${name} => $${n + 1}::pg_catalog.text::${type}`);
  await observer.setClock(model.now);
  const answer = await attacker.attack(
    `SELECT "migrate_lock".${call}(${given.join(', ')}) AS answer`,
    values,
  );
  const lacksWhatItNeeds = parameters.some(([, { isNeeded }], n) => isNeeded && values[n] === null);
  expectRefused(call, answer, lacksWhatItNeeds);

  const before = model.tables();
  const { tables } = await observer.observe();
  const rows = tables.audit.slice(before.audit.length);
  expect(rows.length).toBeLessThanOrEqual(1);
  for (const row of rows) {
    expect(row.dbRole).toBe(attacker.dbRole);
    expect(JSON.stringify(row.details).length).toBeLessThan(1000);
  }
  const others = withoutWaitersOf(attacker.dbRole, tables, model.now);
  model.adoptRefusal(rows[0], others);
  if (!isDeepStrictEqual(others, model.tables())) expect(others).toStrictEqual(model.tables());
  await observer.forgetWaitersOf(attacker.dbRole);
}

function expectRefused(call: CallableName, answer: Answer, lacksWhatItNeeds: boolean): void {
  if (lacksWhatItNeeds) {
    expect(answer).toEqual({ error: 'ML001' });
  } else if (answer !== '' && 'error' in answer) {
    expect(isReader(call) ? ERRORS_OF_READERS : ERRORS).toContain(answer.error);
  } else if (call === 'cleanup') {
    expect(answer).toMatchObject({ leases: 0 });
  } else if (call === 'assert_held') {
    throw new Error('the lease of another role is asserted');
  } else if (call in REFUSALS) {
    expect(REFUSALS[call]).toContain((answer as { outcome: string }).outcome);
  }
}

function isReader(call: CallableName): boolean {
  return (THAT_READ as readonly CallableName[]).includes(call);
}

/** A waiter of the role's own is allowed, for an hour at most. */
function withoutWaitersOf(dbRole: string, tables: Tables, now: number): Tables {
  const waiters = Object.entries(tables.waiters);
  for (const [, waiter] of waiters)
    if (waiter.dbRole === dbRole) expect(waiter.countsUntil).toBeLessThanOrEqual(now + HOUR_US);
  return { ...tables, waiters: Object.fromEntries(waiters.filter(([, waiter]) => waiter.dbRole !== dbRole)) };
}
