import { expect } from '@jest/globals';
import fc from 'fast-check';
import { nanoid } from 'nanoid';
import { waitFor } from '../../support/wait-for.js';
import { isOutcome, type Answer, type Caller, type PollRequest } from './calls.js';
import { lockAt, type RealLock } from './real-lock.js';

/** One client's attempt is stopped in an open transaction while others try, and time passes. */
export interface Overlap {
  before: 'no row' | 'released' | 'expired' | 'held';
  others: number;
  ttlMs: number;
  othersTtlMs: number;
  passesMs: number;
  end: 'COMMIT' | 'ROLLBACK';
}

export const overlap: fc.Arbitrary<Overlap> = fc.record({
  before: fc.constantFrom('no row', 'no row', 'released', 'expired', 'held'),
  others: fc.integer({ min: 1, max: 3 }),
  ttlMs: fc.integer({ min: 1, max: 1000 }),
  othersTtlMs: fc.integer({ min: 1, max: 1000 }),
  passesMs: fc.integer({ min: 0, max: 2000 }),
  end: fc.constantFrom('COMMIT', 'ROLLBACK'),
});

const START_US = 1e12;
const EARLIER_MS = 500;

/** The first of `locks` is the stopped one; each is a connection. The few cases need no model. */
export async function executeOverlap(scenario: Overlap, locks: readonly RealLock[]): Promise<void> {
  const { before, ttlMs, othersTtlMs, passesMs, end } = scenario;
  const [first, observer] = [lockAt(locks, 0), lockAt(locks, -1)];
  const others = locks.slice(1, 1 + scenario.others);
  await observer.startOver();
  await observer.setClock(START_US);
  await prepare(before, observer);
  await observer.setClock(START_US + EARLIER_MS * 1000);

  await first.begin();
  const hung = await first.poll(someone(), request(ttlMs));
  const polls = others.map((other) => other.poll(someone(), request(othersTtlMs)));
  const state = polls.map(() => 'on its way');
  polls.forEach((poll, n) => void poll.then(() => (state[n] = 'answered')));
  await waitFor('every other one to be answered or to wait', async () => {
    const waiting = await observer.countWaiting(others);
    return waiting + state.filter((of) => of === 'answered').length >= others.length;
  });
  // An existing row is never queued for: a wait for it would reach its time limit.
  if (before !== 'no row') {
    for (const answer of await Promise.all(polls)) expect(answer).toMatchObject({ outcome: 'held' });
  }
  const now = START_US + (EARLIER_MS + passesMs) * 1000;
  await observer.setClock(now);
  await first.finish(end);
  const answers = await Promise.all(polls);
  const { leases, audit } = (await observer.observe()).tables;

  expect(isOutcome(hung, before === 'held' ? 'held' : 'acquired')).toBe(true);
  const winners = answers.filter((answer) => isOutcome(answer, 'acquired'));
  const isFree = end === 'ROLLBACK' || passesMs >= ttlMs;
  // On a busy machine the wait for the first row may reach its time limit: then none needs to have won.
  const gaveUp = answers.some((answer) => answer !== '' && answer.error === '55P03');
  if (before !== 'no row' || !isFree) expect(winners).toHaveLength(0);
  else if (!gaveUp) expect(winners).toHaveLength(1);
  expect(winners.length).toBeLessThanOrEqual(1);
  for (const winner of winners) {
    // Its lease starts when it gets the lease, not when it began to wait.
    const { fencingToken, expiresInMs, heldMs } = acquiredLease(winner);
    expect({ heldMs, expiresInMs }).toEqual({ heldMs: 0, expiresInMs: othersTtlMs });
    expect(leases).toMatchObject([
      { token: fencingToken, lockedAt: now, expiresAt: now + othersTtlMs * 1000 },
    ]);
    if (before !== 'held') expect(fencingToken).toBeGreaterThan(acquiredLease(hung).fencingToken);
  }
  const committed = audit.filter(({ event }) => event === 'lock.acquired').map(({ token }) => Number(token));
  expect(committed).toEqual([...new Set(committed)].sort((a, b) => a - b));
}

async function prepare(before: Overlap['before'], lock: RealLock): Promise<void> {
  if (before === 'no row') return;
  const earlier = someone();
  await lock.poll(earlier, request(before === 'held' ? 3_600_000 : EARLIER_MS));
  if (before === 'released') await lock.release(earlier);
}

export function someone(): Caller {
  return { instanceId: nanoid(), secret: nanoid() };
}

export function request(ttlMs: number): PollRequest {
  const client = { host: 'host', pid: 1, command: 'a migration', commandSha256: 'sha', runKey: null };
  return { ttlMs, client, respect: null, pollIntervalMs: 1000, isLast: false, failureMemoryMs: null };
}

export function acquiredLease(answer: Answer): { fencingToken: number; expiresInMs: number; heldMs: number } {
  return (answer as { lease: { fencingToken: number; expiresInMs: number; heldMs: number } }).lease;
}
