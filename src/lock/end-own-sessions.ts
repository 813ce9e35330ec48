import { CALLS } from '../generated/sql.js';
import type { Database } from '../db/database.js';
import { renderSql } from '../schema/render.js';
import type { Orphans } from './answers.js';

/** The lease of the sessions, and whether it is ours: for another one, the lock's owner must be a role that we can act as. */
export interface EndedLease {
  instanceId: string;
  isOurs: boolean;
}

/**
 * Terminates, as the login role, sessions of our login that the owner of the lock may not terminate. The lock's functions run
 * with the owner's rights, and `ALTER ROLE ... SET role` may have changed the role of our session.
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
