import type { SessionActivity } from '../events/events.js';

/** The columns of pg_stat_progress_* that say how much of the present phase is done, and how much there is to do. */
const SHARES: Record<string, readonly (readonly [phase: RegExp, done: string, total: string])[]> = {
  create_index: [
    [/^waiting/, 'lockers_done', 'lockers_total'],
    [/./, 'blocks_done', 'blocks_total'],
    [/./, 'tuples_done', 'tuples_total'],
    [/./, 'partitions_done', 'partitions_total'],
  ],
  vacuum: [
    [/^scanning heap/, 'heap_blks_scanned', 'heap_blks_total'],
    [/^vacuuming heap/, 'heap_blks_vacuumed', 'heap_blks_total'],
  ],
  cluster: [[/^seq scanning heap/, 'heap_blks_scanned', 'heap_blks_total']],
  analyze: [[/^acquiring/, 'sample_blks_scanned', 'sample_blks_total']],
  copy: [[/^/, 'bytes_processed', 'bytes_total']],
};

/** @param row of such a view, with the view's `kind` and the name of the `object`. */
export function progressOf(row: Record<string, unknown>): SessionActivity['progress'] {
  const kind = textOf(row.kind) ?? '';
  const phase = textOf(row.phase);
  const share = (Object.hasOwn(SHARES, kind) ? (SHARES[kind] ?? []) : []).find(
    ([phases, , total]) => phases.test(phase ?? '') && numberOf(row[total]) > 0,
  );
  const done = share && numberOf(row[share[1]]) / numberOf(row[share[2]]);
  return {
    command: textOf(row.command) ?? kind.toUpperCase(),
    object: textOf(row.object),
    phase,
    done: done === undefined ? null : Math.round(1_000 * Math.min(1, Math.max(0, done))) / 1_000,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
