import type postgres from 'postgres';
import type { Relay } from '../../support/relay.js';
import { REQUESTS } from './inflict.js';
import type { RunPlan } from './schedule.js';
import { eventsOf, type FaultyRun } from './start-run.js';

/** Its lease is long, because its child may start slowly on a busy machine. */
export const FRESH: RunPlan = {
  startAtMs: 0,
  ttlMs: 30_000,
  killGraceMs: 500,
  child: { runMs: 50 },
  childThroughRelay: false,
  stdout: 'file',
  skewMs: 0,
};

/**
 * The delay is counted in polls from the end of the last lease, because milliseconds depend on the
 * machine: with twelve lanes on two cores it took five seconds until the first poll, at a free lock. One
 * poll may have been sent before that moment, one may still respect the lease (it counts from its answer), one may
 * find the row locked, and one acquires. A waiter that is stuck makes dozens.
 */
const MOST_POLLS = 4;
/** More where sessions had to be ended first: it looks for them again after 20 ms. */
const MOST_POLLS_WITH_ORPHANS = 20;
/**
 * The time of the acquiring poll, from the relay on: a row lock or a lost connection would delay it. 50 ms are usual.
 */
const LONGEST_POLL_MS = 2_000;

/** Times are milliseconds since 1970, all on one machine. */
interface LastLease {
  nowMs: number;
  /** The end of the last lease; null: it has ended, or there was none. */
  endsAtMs: number | null;
}

/**
 * When a new run has to get the lock, after everything that has happened. Create it just before that run is started.
 */
export class Patience {
  readonly #pollsAtMs: number[] = [];

  private constructor(
    private readonly sql: postgres.Sql,
    private readonly before: LastLease,
  ) {}

  static async from(sql: postgres.Sql): Promise<Patience> {
    const [there] = await sql<
      { is: boolean }[]
    >`SELECT to_regclass('migrate_lock.migration_lock') IS NOT NULL AS is`;
    const [lease] = there?.is
      ? await sql.unsafe<LastLease[]>(`
          SELECT ${epochMs('clock_timestamp()')} AS "nowMs", ${epochMs('expires_at')} AS "endsAtMs"
            FROM migrate_lock.migration_lock WHERE released_at IS NULL`)
      : [];
    return new Patience(sql, lease ?? { nowMs: Date.now(), endsAtMs: null });
  }

  /** Counts its polls as they pass its relay. */
  watch(relay: Relay): void {
    relay.beforeRequest(REQUESTS['poll, values'], () => {
      this.#pollsAtMs.push(Date.now());
      this.watch(relay);
    });
  }

  /** The error in its waiting time; no lease of a run may have been longer than `longestTtlMs`. */
  async judge(run: FaultyRun, longestTtlMs: number): Promise<{ story: string; violations: string[] }> {
    const acquired = eventsOf(run).find(({ event }) => event === 'lock.acquired');
    const first = this.#pollsAtMs[0];
    if (acquired === undefined || first === undefined) {
      return { story: 'the fresh run did not acquire', violations: ['the fresh run did not acquire'] };
    }
    const { mineMs, othersEndMs } = await this.#history(acquired.instanceId);
    const { nowMs, endsAtMs } = this.before;
    const freeAtMs = Math.max(first, endsAtMs ?? 0, othersEndMs ?? 0);
    const polls = this.#pollsAtMs.filter((atMs) => atMs >= freeAtMs).length;
    const pollMs = Math.round(mineMs - Math.max(...this.#pollsAtMs));
    const leftMs = Math.round((endsAtMs ?? nowMs) - nowMs);
    const mostPolls = this.#endedOrphans(run) ? MOST_POLLS_WITH_ORPHANS : MOST_POLLS;
    const violations: string[] = [];
    if (leftMs > longestTtlMs) violations.push(`a lease of at most ${longestTtlMs} ms had ${leftMs} ms left`);
    if (polls > mostPolls) violations.push(`the fresh run needed ${polls} polls for a free lock`);
    if (pollMs > LONGEST_POLL_MS) violations.push(`the poll that acquired took ${pollMs} ms`);
    const story = `the fresh run found a lease with ${leftMs} ms left, then needed ${polls} polls, the last of ${pollMs} ms`;
    return { story, violations };
  }

  #endedOrphans(run: FaultyRun): boolean {
    return eventsOf(run).some((event) => event.event === 'lock.takeover' && event.sessionsEnded > 0);
  }

  /** A delayed request of a dead run may have acquired one more lease, which counts from that moment. */
  async #history(mine: string): Promise<{ mineMs: number; othersEndMs: number | null }> {
    const [row] = await this.sql.unsafe<{ mineMs: number; othersEndMs: number | null }[]>(
      `SELECT max(${epochMs('at')}) FILTER (WHERE instance_id = $1) AS "mineMs",
              max(${epochMs('at')} + (details ->> 'ttlMs')::float8) FILTER (WHERE instance_id <> $1) AS "othersEndMs"
         FROM migrate_lock.migration_lock_audit
        WHERE event = 'lock.acquired' AND ${epochMs('at')} >= $2`,
      [mine, this.before.nowMs],
    );
    return row ?? { mineMs: NaN, othersEndMs: null };
  }
}

function epochMs(moment: string): string {
  return `(extract(epoch FROM ${moment}) * 1000)::float8`;
}
