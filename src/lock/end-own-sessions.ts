import { CALLS } from '../generated/sql.js';
import type { Database } from '../db/database.js';
import { renderSql } from '../schema/render.js';
import type { Orphans } from './answers.js';

/** Whose sessions they are, and whether it is our own lease: another one is believed only of an owner that we can act as. */
export interface EndedLease {
  instanceId: string;
  isOurs: boolean;
}

/**
 * Ends, as the role that we logged in as, sessions of our own login that the owner of the lock may not end: the lock's
 * functions have its rights, not ours, and `ALTER ROLE ... SET role` may have taken ours from the session too.
 * @returns the orphans, with fewer denied.
 */
export async function endOwnSessions(
  database: Database,
  schema: string,
  { instanceId, isOurs }: EndedLease,
  orphans: Orphans,
  limitMs: number,
): Promise<Orphans> {
  if (orphans.denied === 0) return orphans;
  const pids = `{${orphans.sessions.map(({ pid }) => pid).join()}}`;
  const ended = await database.transaction('end the sessions of our login', limitMs, async (session) => {
    await session.unsafe(CALLS.loginRole);
    const statement = renderSql(CALLS.endOwnSessions, schema);
    const rows = await session.unsafe<{ ended: number }[]>(statement, [pids, instanceId, isOurs]);
    return rows[0]?.ended ?? 0;
  });
  return { ...orphans, denied: Math.max(0, orphans.denied - ended) };
}
