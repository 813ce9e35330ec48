import type postgres from 'postgres';
import type { Relay } from '../../support/relay.js';
import { REQUESTS } from './inflict.js';
import type { RunPlan } from './schedule.js';
import { eventsOf, type FaultyRun } from './start-run.js';

/** Its own lease is long: how fast its child starts on a busy machine is of no interest. */
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
 * How late it is, is counted in polls from the moment when the last lease is over, for its own milliseconds are those of a
 * busy machine: with twelve lanes on two cores it was seen to take five seconds for its first poll, at a lock that was free. One
 * may have been on its way at that moment, one may still respect the lease (it counts from when the answer came), one may
 * find the row locked, one acquires. What is stuck makes dozens of them.
 */
const MOST_POLLS = 4;
/** More where sessions had to be ended first: they are looked for again after 20 ms. */
const MOST_POLLS_WITH_ORPHANS = 20;
/** The poll that acquires, from its passing the relay: a row lock or a lost connection would keep it. Usual are 50 ms. */
const LONGEST_POLL_MS = 2_000;

/** Times are milliseconds since 1970: all are the same machine's. */
interface LastLease {
  nowMs: number;
  /** When it is over; null: it is over, or there never was one. */
  endsAtMs: number | null;
}

/** What a lease owes to whoever comes after all that has happened. To be made just before that run is started. */
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

  /** What is wrong with how long it waited; no lease of a run may have been longer than `longestTtlMs`. */
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

  /** A request of somebody dead that was still on its way may have brought one more lease, which counts from then. */
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
