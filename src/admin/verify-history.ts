import { MigrateLockError } from '../errors.js';
import type { LockCalls } from '../lock/calls.js';
import { ChainCheck } from './chain-check.js';

export interface VerifiedHistory {
  /** The number of rows in the chain. */
  rows: number;
  /** The number of the newest row; 0: there is none yet. */
  headSeq: number;
  /** Its SHA-256, in hexadecimal, which covers all earlier rows. */
  headHash: string;
}

const PAGE = 1_000;
/** A cleanup at the same time changes the start of the chain. */
const MOST_ROUNDS = 3;

/**
 * Reads the whole history and verifies that no chained row was changed, inserted or removed, the newest included.
 * @throws {MigrateLockError} HISTORY_CHANGED, with the place.
 */
export async function verifyHistory(calls: LockCalls): Promise<VerifiedHistory> {
  for (let round = 1; ; round++) {
    const verified = await verifyOnce(calls, round === MOST_ROUNDS);
    if (verified !== null) return verified;
  }
}

/** @returns null when a cleanup has removed the start of the chain in the meantime. */
async function verifyOnce(calls: LockCalls, isLast: boolean): Promise<VerifiedHistory | null> {
  let check: ChainCheck | undefined;
  let tailSeq = 0;
  for (let after = 0; ;) {
    const { ends, rows } = await calls.chain(after, PAGE);
    if (ends === null) throw changed('both ends of its chain are gone');
    if (check === undefined) {
      check = new ChainCheck(ends);
      tailSeq = ends.tailSeq;
    }
    if (ends.tailSeq !== tailSeq && !isLast) return null;
    for (const row of rows) {
      const problem = check.follow(row);
      if (problem !== null) throw changed(problem);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) {
      const problem = check.end(ends);
      if (problem !== null) throw changed(problem);
      return { rows: check.rows, headSeq: ends.headSeq, headHash: ends.headHash };
    }
    after = last.id;
  }
}

function changed(problem: string): MigrateLockError {
  return new MigrateLockError(`The history of the lock is not what was written: ${problem}.`, {
    code: 'HISTORY_CHANGED',
    exit: 'tampered',
    hint: 'Compare it with the auditHash of the events that the runs have printed: the first that is not in it is where it was changed.',
  });
}
