import { expect, test } from '@jest/globals';
import { progressOf } from '../../../src/lock/progress.js';

test.each([
  [
    {
      kind: 'create_index',
      command: 'REINDEX',
      phase: 'building index: scanning table',
      blocks_done: 1,
      blocks_total: 4,
      tuples_total: 9,
    },
    { command: 'REINDEX', phase: 'building index: scanning table', done: 0.25 },
  ],
  [
    {
      kind: 'create_index',
      phase: 'waiting for writers before build',
      lockers_done: 1,
      lockers_total: 2,
      blocks_total: 4,
    },
    { command: 'CREATE_INDEX', phase: 'waiting for writers before build', done: 0.5 },
  ],
  [
    { kind: 'vacuum', phase: 'vacuuming indexes', heap_blks_total: 5 },
    { command: 'VACUUM', phase: 'vacuuming indexes', done: null },
  ],
  [
    { kind: 'vacuum', phase: 'scanning heap', heap_blks_scanned: 9, heap_blks_total: 5 },
    { command: 'VACUUM', phase: 'scanning heap', done: 1 },
  ],
  [
    { kind: 'copy', command: 'COPY FROM', bytes_processed: 1, bytes_total: 3 },
    { command: 'COPY FROM', phase: null, done: 0.333 },
  ],
  [
    { kind: 'copy', bytes_processed: '1', bytes_total: 0 },
    { command: 'COPY', phase: null, done: null },
  ],
  [{ kind: 'constructor' }, { command: 'CONSTRUCTOR', phase: null, done: null }],
])('%j', (row, shown) => {
  expect(progressOf(row)).toEqual({ object: null, ...shown });
});
