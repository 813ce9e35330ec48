import type postgres from 'postgres';
import { CALLS } from '../generated/sql.js';
import { classify } from './classify.js';
import type { Call, Precondition, Session } from './database.js';
import { withoutParameters } from './without-parameters.js';

/** The process that answered, as the answer to a call or to its precondition reports it. */
type Learn = (rows: postgres.RowList<postgres.Row[]>) => void | Promise<void>;

/** For how long the calls of a session rely on a precondition that it has read. */
const TRUST_MS = 10_000;

/** The preconditions that a session has read. They count only while it is certain that all its calls reach one server process. */
export class Preconditions {
  readonly #read = new Map<string, { checked: Checked; untilMs: number }>();

  constructor(readonly isDirect: () => boolean) {}

  recent(statement: string): Checked | undefined {
    const read = this.#read.get(statement);
    return this.isDirect() && read !== undefined && performance.now() < read.untilMs
      ? read.checked
      : undefined;
  }

  keep(statement: string, checked: Checked): void {
    this.#read.set(statement, { checked, untilMs: performance.now() + TRUST_MS });
  }
}

type Checked = ReturnType<Precondition['check']>;

/** Returns only the server process that answers. */
export function backendCall(limitMs: number): Call {
  return { name: 'find a pooler', statement: CALLS.backend, parameters: [], limitMs };
}

/**
 * Sends a call on a session. `prepare`: the server keeps the statement for the session's next call of it, which then takes one
 * round trip instead of two. `preconditions`: one that was read a moment ago is not read again.
 */
export async function sendCall(
  session: Session,
  call: Call,
  {
    prepare = false,
    learn,
    preconditions,
  }: { prepare?: boolean; learn?: Learn; preconditions?: Preconditions } = {},
): Promise<unknown> {
  let { parameters } = call;
  let schemaOwner: string | undefined;
  if (call.precondition !== undefined) {
    const { statement, check } = call.precondition;
    let checked = preconditions?.recent(statement);
    if (checked === undefined) {
      const rows = await session.unsafe(statement, [], { prepare });
      await learn?.(rows);
      checked = check(rows);
      preconditions?.keep(statement, checked);
    }
    schemaOwner = checked.owner;
    if (!checked.storesUnicode) parameters = call.parametersInAscii ?? parameters;
  }
  const sent = session.unsafe<{ answer: unknown }[]>(call.statement, [...parameters], { prepare });
  const rows = await sent.catch((error: unknown) => {
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
