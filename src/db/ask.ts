import type postgres from 'postgres';
import { CALLS } from '../generated/sql.js';
import { classify } from './classify.js';
import type { Call, Session } from './database.js';
import { withoutParameters } from './without-parameters.js';

/** The process that answered, as the answer to a call or to its precondition reports it. */
type Learn = (rows: postgres.RowList<postgres.Row[]>) => void | Promise<void>;

/** Asks only for the server's process. */
export function lookForPooler(limitMs: number): Call {
  return { name: 'look for a pooler', statement: CALLS.backend, parameters: [], limitMs };
}

/**
 * Sends a call on a session. `prepare`: the server keeps the statement for the session's next call of it, which then takes one
 * round trip instead of two.
 */
export async function ask(
  session: Session,
  call: Call,
  { prepare = false, learn }: { prepare?: boolean; learn?: Learn } = {},
): Promise<unknown> {
  let { parameters } = call;
  let schemaOwner: string | undefined;
  if (call.precondition !== undefined) {
    const { statement, check } = call.precondition;
    const rows = await session.unsafe(statement, [], { prepare });
    await learn?.(rows);
    const { storesUnicode, owner } = check(rows);
    schemaOwner = owner;
    if (!storesUnicode) parameters = call.parametersInAscii ?? parameters;
  }
  const asked = session.unsafe<{ answer: unknown }[]>(call.statement, [...parameters], { prepare });
  const rows = await asked.catch((error: unknown) => {
    const said = withoutParameters(error);
    // A role that lacks a right gets the owner's name.
    throw classify(said) === 'denied' && said instanceof Error ? Object.assign(said, { schemaOwner }) : said;
  });
  await learn?.(rows);
  return rows[0]?.answer;
}

/** Runs `work` in a transaction with its own settings, for any settings of the session. */
export async function inTransaction<T>(sql: postgres.Sql, work: () => Promise<T>): Promise<T> {
  await sql.unsafe(`${CALLS.beginChange};\n${CALLS.limitChange}`);
  try {
    const result = await work();
    await sql.unsafe('COMMIT');
    return result;
  } catch (error) {
    // An error here must not hide the first one: an aborted transaction has the role's time limits again.
    if (classify(error) !== 'unavailable') await sql.unsafe('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
