import type postgres from 'postgres';
import { CALLS } from '../generated/sql.js';
import { classify, errorCode } from './classify.js';

const UNDEFINED_OBJECT = '42704';

/**
 * How the process that answered was reached. `pooled`: it is not the one that the start-up named (BackendKeyData). `relayed`: it
 * is, but its client is not known to be our socket: a relay, a network that translates addresses, or pgpool-II, which hands on
 * the server's own process id. undefined: the answer does not tell.
 * @param client our end as the server names it when nothing stands in between; undefined: we do not know it.
 */
export function pathOf(
  rows: postgres.RowList<postgres.Row[]>,
  client: string | undefined,
): 'direct' | 'pooled' | 'relayed' | undefined {
  const answer: unknown = rows[0]?.answer;
  if (typeof answer !== 'object' || answer === null || !('backendPid' in answer && 'client' in answer))
    return undefined;
  if (answer.backendPid !== rows.state.pid) return 'pooled';
  return answer.client === client ? 'direct' : 'relayed';
}

/**
 * Asks what only pgpool-II answers. A server fails with an error, which it also logs: hence not on a direct connection, and not
 * in a transaction. What fails in another way is no server, as far as we know them.
 */
export async function isPgpool(sql: Pick<postgres.Sql, 'unsafe'>): Promise<boolean> {
  try {
    await sql.unsafe(CALLS.poolVersion);
    return true;
  } catch (error) {
    if (classify(error) === 'unavailable') throw error;
    return errorCode(error) !== UNDEFINED_OBJECT;
  }
}

/** Nothing is documented about the process ids that RDS Proxy hands on. Its own names are: `<name>.proxy-<id>.<region>.rds...`. */
export function isRdsProxy(host: string): boolean {
  return /\.proxy-[^.]+\.[^.]+\.rds\.amazonaws\.com(\.cn)?\.?$/i.test(host);
}
