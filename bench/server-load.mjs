import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_EVERY_MS = 50;

/**
 * The statements of the contenders, BEGIN and COMMIT included, as pg_stat_statements counts them.
 * @param {import('postgres').Sql} admin
 * @param {number} windowMs
 */
export async function statementsPerSecond(admin, windowMs) {
  const startedMs = performance.now();
  const before = await statements(admin);
  await sleep(windowMs);
  const sent = (await statements(admin)) - before;
  return sent / ((performance.now() - startedMs) / 1000);
}

/** @param {import('postgres').Sql} admin */
async function statements(admin) {
  const [row] = await admin`
    SELECT coalesce(sum(calls), 0)::int AS calls
    FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid WHERE rolname = 'app'`;
  return Number(row?.['calls']);
}

/**
 * Samples the number of the contenders' connections.
 * @param {import('postgres').Sql} admin
 * @returns {{ stop: () => Promise<number> }} `stop` returns the maximum
 */
export function countConnections(admin) {
  let most = 0;
  let isOver = false;
  const sampling = (async () => {
    while (!isOver) {
      const [row] = await admin`SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'app'`;
      most = Math.max(most, Number(row?.['n']));
      await sleep(SAMPLE_EVERY_MS);
    }
  })();
  sampling.catch(() => undefined);
  return {
    stop: async () => {
      isOver = true;
      await sampling;
      return most;
    },
  };
}

/**
 * The bytes that the whole server wrote to its write-ahead log during some work.
 * @param {import('postgres').Sql} admin
 * @param {() => Promise<unknown>} work
 */
export async function written(admin, work) {
  const sentBefore = await statements(admin);
  const from = await writeAheadLogEnd(admin);
  await work();
  const to = await writeAheadLogEnd(admin);
  const [row] = await admin`
    SELECT (${to}::pg_lsn - ${from}::pg_lsn)::text AS bytes, sum(count)::int AS records
    FROM pg_get_wal_stats(${from}::pg_lsn, ${to}::pg_lsn)`;
  return {
    kilobytes: Number(row?.['bytes']) / 1000,
    records: Number(row?.['records']),
    statements: (await statements(admin)) - sentBefore,
  };
}

/** @param {import('postgres').Sql} admin */
async function writeAheadLogEnd(admin) {
  // WAL that is not flushed cannot be read: a statement that writes waits for the disk.
  await admin`SELECT pg_logical_emit_message(true, 'bench', '')`;
  const [row] = await admin`SELECT pg_current_wal_flush_lsn()::text AS lsn`;
  return String(row?.['lsn']);
}
