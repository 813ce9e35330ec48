const BACKFILL = '0001_backfill_ledger';

/**
 * @typedef {object} Release what a storm has left in the database
 * @property {number} succeeded instances that exited 0
 * @property {string} stderr the first that an instance wrote
 * @property {{ migration: string, runs: number }[]} runs
 * @property {number} ledger rows of the ledger, which gets one for each order in each run of the backfill
 * @property {number} orders
 */

/**
 * Without the lock the damage must be there, and with it there must be none: a demo that shows no damage proves nothing.
 * @param {Release} without
 * @param {Release} with_
 * @param {number} instances
 * @returns {{ isDamaged: boolean, faults: string[] }}
 */
export function judge(without, with_, instances) {
  const repeated = without.runs.find(({ migration }) => migration === BACKFILL)?.runs ?? 0;
  const isDamaged = repeated === instances && without.ledger === instances * without.orders;
  const faults = [
    ...(isDamaged ? [] : [`drizzle: without the lock the backfill ran only ${repeated} times`]),
    ...(with_.ledger === with_.orders ? [] : [`drizzle: ${with_.ledger} rows in the ledger`]),
    ...(with_.succeeded === instances
      ? []
      : [`drizzle: only ${with_.succeeded} of ${instances} exited 0: ${with_.stderr}`]),
    ...(with_.runs.length === 2 ? [] : [`drizzle: ${with_.runs.length} of 2 migrations ran`]),
    ...with_.runs
      .filter(({ runs }) => runs !== 1)
      .map(({ migration, runs }) => `drizzle: ${migration} ran ${runs} times`),
  ];
  return { isDamaged, faults };
}

/**
 * The demo's exit code.
 * @param {readonly string[]} faults
 */
export function exitCodeOf(faults) {
  return faults.length === 0 ? 0 : 1;
}
