import { createHash } from 'node:crypto';
import type { ChainEnds, ChainRow } from '../lock/answers.js';

/** Events whose rows are chained: such a row outside the chain was not written by the lock's functions. */
const CHAINED = new Set([
  'lock.acquired',
  'lock.takeover',
  'lock.released',
  'lock.lost',
  'lease.extended',
  'lock.manipulated',
  'lock.role_admitted',
  'lock.role_expelled',
  'lock.configured',
  'history.pruned',
]);

/**
 * Reads the history row by row, in the order of their ids, and computes each hash again: the SHA-256 of the previous
 * hash and of the row's text. Every method returns a description of the error, or null.
 */
export class ChainCheck {
  readonly #start: ChainEnds;
  #seq: number;
  #hash: string;
  /** What was removed, according to the last row about a cleanup. */
  #pruned: { upToSeq?: unknown; upToHash?: unknown } = {};

  constructor(start: ChainEnds) {
    this.#start = start;
    this.#seq = start.tailSeq;
    this.#hash = start.tailHash;
  }

  get rows(): number {
    return this.#seq - this.#start.tailSeq;
  }

  follow({ id, seq, event, details, hash, text }: ChainRow): string | null {
    if (seq === null || hash === null) {
      return CHAINED.has(event) ? `row ${id} (${event}) was inserted beside the chain` : null;
    }
    if (seq !== this.#seq + 1) {
      return seq <= this.#seq
        ? `row ${id} was inserted: number ${seq} of the chain is not its place`
        : `${seq - this.#seq - 1} rows were removed before row ${id}, after number ${this.#seq} of the chain`;
    }
    const expected = createHash('sha256').update(this.#hash, 'hex').update(text, 'utf8').digest('hex');
    if (hash !== expected) return `row ${id} (${event}) was changed, or the row before it`;
    this.#seq = seq;
    this.#hash = hash;
    if (event === 'history.pruned') this.#pruned = details;
    return null;
  }

  /** Called after the last row, with both ends as they were read with it. */
  end(ends: ChainEnds): string | null {
    if (this.#seq < ends.headSeq) {
      return `the newest ${ends.headSeq - this.#seq} rows of the chain were removed, after number ${this.#seq}`;
    }
    if (this.#seq !== ends.headSeq || this.#hash !== ends.headHash) {
      return `the newest row of the chain is not the one that was written last`;
    }
    const { upToSeq, upToHash } = this.#pruned;
    if (ends.tailSeq > 0 && (upToSeq !== ends.tailSeq || upToHash !== ends.tailHash)) {
      return `the oldest rows were removed, up to number ${ends.tailSeq} of the chain, but not by cleanup`;
    }
    return null;
  }
}
