import type postgres from 'postgres';
import { CALLS } from '../generated/sql.js';
import { classify, errorCode } from './classify.js';

const UNDEFINED_OBJECT = '42704';

/**
 * How the answering process was reached. `pooled`: it is not the one that the start-up named (BackendKeyData).
 * `relayed`: it is, but its client is not this socket: a relay, a network that translates addresses, or pgpool-II,
 * which passes on the server's own process id. undefined: the answer does not say.
 * @param client this end as the server names it on a direct connection; undefined: unknown.
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
 * Sends a statement that only pgpool-II answers. A server fails with an error, which it also logs: so not on a direct
 * connection, and not in a transaction. Any other failure means that it is not a server.
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

/** The process ids that RDS Proxy passes on are not documented. Its names are: `<name>.proxy-<id>.<region>.rds...`. */
export function isRdsProxy(host: string): boolean {
  return /\.proxy-[^.]+\.[^.]+\.rds\.amazonaws\.com(\.cn)?\.?$/i.test(host);
}
