import postgres from 'postgres';
import { ratio } from './findings.mjs';

const POLLS = 100_000;
const MEASURED = 2_000;
/** More than any client may ask: the rate limit is not what is measured. */
const ATTEMPTS_PER_SECOND = 100_000;

/** A migration's open transaction keeps every dead row. Measures the cost of a poll after many polls. */
/** @type {import('./rows.mjs').Row} */
export const longTransaction = {
  name: 'long-transaction',
  async measure({ server, progress }) {
    const url = await server.newDatabase();
    /** @type {typeof import('../src/index.js')} */
    const { MigrationLock } = await import(new URL('../dist/index.js', import.meta.url).href);
    const holder = new MigrationLock({ connection: url, ttlMs: 3_600_000 });
    const migration = postgres(url, { max: 1, onnotice: () => undefined });
    const waiter = postgres(url, { max: 1, onnotice: () => undefined });
    try {
      await holder.wait();
      await waiter`SELECT migrate_lock.configure(NULL, ${ATTEMPTS_PER_SECOND})`;
      await migration`BEGIN`;
      await migration`SELECT txid_current()`;
      const first = await polls(waiter, MEASURED);
      for (let made = 0; made < POLLS; made += 20_000) {
        await polls(waiter, 20_000);
        progress(`${made + 20_000} polls`);
      }
      const last = await polls(waiter, MEASURED);
      return [
        ratio(
          `a poll after ${POLLS} polls under an open transaction, against the first ${MEASURED}`,
          { name: 'afterwards', values: last },
          { name: 'at first', values: first },
          { must: 2, unit: 'ms' },
        ),
      ];
    } finally {
      await Promise.all([migration.end({ timeout: 1 }), waiter.end({ timeout: 1 })]);
      await holder.release();
    }
  },
};

/**
 * @param {import('postgres').Sql} sql
 * @param {number} count
 * @returns {Promise<number[]>} how long each took
 */
async function polls(sql, count) {
  const took = [];
  for (let at = 0; at < count; at++) {
    const sentMs = performance.now();
    await sql`
      SELECT migrate_lock.poll(
        p_program => 1, p_instance_id => 'waiter', p_secret => 's', p_ttl_ms => 30000, p_host => NULL, p_pid => NULL,
        p_command => NULL, p_command_sha256 => NULL,
        p_run_key => NULL, p_failure_memory_ms => NULL, p_respect => NULL, p_orphans => 'terminate', p_seen => NULL,
        p_poll_interval_ms => 1000, p_last => false, p_listens => false)`;
    took.push(performance.now() - sentMs);
  }
  return took;
}
