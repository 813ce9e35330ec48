import { expect } from '@jest/globals';
import fc from 'fast-check';
import { isOutcome, type Answer } from './calls.js';
import { acquiredLease, request, someone } from './overlap.js';
import { lockAt, type RealLock } from './real-lock.js';

/** The state of the lock when all of them try at the same instant, and what happens in between. */
export interface Burst {
  before: 'no row' | 'released' | 'expired' | 'held';
  meanwhile: 'nothing' | 'release' | 'extend' | 'cleanup';
  ttlMs: number;
}

export const bursts: fc.Arbitrary<Burst[]> = fc.array(
  fc.record({
    before: fc.constantFrom('no row', 'released', 'expired', 'held'),
    meanwhile: fc.constantFrom('nothing', 'nothing', 'release', 'extend', 'cleanup'),
    ttlMs: fc.integer({ min: 1, max: 1000 }),
  }),
  { minLength: 1, maxLength: 4 },
);

const EARLIER_MS = 500;

/** The last of `locks` prepares and looks, the one before it acts in between, all others try to acquire. */
export async function executeBursts(rounds: readonly Burst[], locks: readonly RealLock[]): Promise<void> {
  const [observer, other] = [lockAt(locks, -1), lockAt(locks, -2)];
  const racers = locks.slice(0, -2);
  let now = 1e12;
  let lastToken = 0;
  for (const { before, meanwhile, ttlMs } of rounds) {
    const { lastToken: taken } = await observer.startOver();
    lastToken = Math.max(lastToken, taken);
    now += 1e10;
    await observer.setClock(now);
    const earlier = someone();
    if (before !== 'no row') {
      const answer = await observer.poll(earlier, request(before === 'held' ? 3_600_000 : EARLIER_MS));
      lastToken = acquiredLease(answer).fencingToken;
    }
    if (before === 'released') await observer.release(earlier);
    now += EARLIER_MS * 1000;
    await observer.setClock(now);

    const between = {
      nothing: () => Promise.resolve(''),
      release: () => other.release(earlier),
      extend: () => other.extend(earlier, 2 * ttlMs),
      cleanup: () => other.cleanup(),
    }[meanwhile];
    const [, ...answers] = await Promise.all([
      between() as Promise<Answer>,
      ...racers.map((racer) => racer.poll(someone(), request(ttlMs))),
    ]);

    const winners = answers.filter((answer) => isOutcome(answer, 'acquired'));
    expect(answers.filter((answer) => isOutcome(answer, 'held')).length + winners.length).toBe(racers.length);
    expect(winners.length).toBeLessThanOrEqual(before === 'held' && meanwhile !== 'release' ? 0 : 1);
    // An attempt that finds the row locked returns: among these attempts, one gets the lease.
    if (before !== 'held' && meanwhile === 'nothing') expect(winners).toHaveLength(1);
    const { leases } = (await observer.observe()).tables;
    expect(leases.length).toBeLessThanOrEqual(1);
    for (const winner of winners) {
      const { fencingToken } = acquiredLease(winner);
      expect(fencingToken).toBeGreaterThan(lastToken);
      lastToken = fencingToken;
      expect(leases).toMatchObject([
        { token: fencingToken, lockedAt: now, expiresAt: now + ttlMs * 1000, releasedAt: null },
      ]);
    }
  }
}
