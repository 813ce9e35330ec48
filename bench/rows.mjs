import { abuse } from './abuse.mjs';
import { crowd } from './crowd.mjs';
import { executableStartUp } from './executable.mjs';
import { fewConnections } from './few-connections.mjs';
import { handover } from './handover.mjs';
import { killedHolder } from './killed-holder.mjs';
import { longTransaction } from './long-transaction.mjs';
import { maxBlock } from './max-block.mjs';
import { manyWaiters } from './many-waiters.mjs';
import { nothingPending } from './nothing-pending.mjs';
import { once } from './once.mjs';
import { startUp } from './start-up.mjs';
import { storm } from './storm.mjs';
import { waiter } from './waiter.mjs';
import { watchers } from './watchers.mjs';
import { wal } from './wal.mjs';

/**
 * @typedef {object} Context
 * @property {import('./server.mjs').BenchServer} server for every row that needs no other settings
 * @property {(text: string) => void} say adds a remark to the results
 * @property {(text: string) => void} progress for people
 */
/** @typedef {{ name: string, measure: (context: Context) => Promise<import('./findings.mjs').Finding[]> }} Row */

/** In the order of the table. @type {readonly Row[]} */
export const ROWS = [
  startUp,
  executableStartUp,
  handover,
  crowd,
  fewConnections,
  manyWaiters,
  waiter,
  longTransaction,
  wal,
  once,
  nothingPending,
  watchers,
  killedHolder,
  abuse,
  maxBlock,
  storm,
];
