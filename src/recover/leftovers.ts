import type { Database, Session } from '../db/database.js';
import type { EventFields, InvalidIndexSummary } from '../events/events.js';
import { CALLS } from '../generated/sql.js';

const LIMIT_MS = 15_000;

type Leftovers = EventFields['database.leftovers'];
type Prepared = Omit<NonNullable<Leftovers['preparedTransactions']>[number], 'preparedAt'> & {
  preparedAtMs: number;
};

/**
 * What a cut-off migration may have left in the database; it is not known which run left it, and nothing is changed.
 * null: there is nothing.
 */
export function databaseLeftovers(database: Database): Promise<Leftovers | null> {
  return database.transaction('search for leftovers in the database', LIMIT_MS, async (session) => {
    await session.unsafe(CALLS.readOnlySettings);
    const indexes = await indexesIn(session);
    const prepared = await rowsOf<Prepared>(session, CALLS.preparedTransactions);
    if (indexes.length === 0 && prepared.length === 0) return null;
    const preparedTransactions = prepared.map(({ preparedAtMs, ...transaction }) => ({
      ...transaction,
      preparedAt: new Date(preparedAtMs).toISOString(),
    }));
    return {
      indexes: indexes.length === 0 ? null : indexes,
      preparedTransactions: preparedTransactions.length === 0 ? null : preparedTransactions,
    };
  });
}

/** INVALID indexes that no session is building, from whichever run. */
export function invalidIndexes(database: Database): Promise<InvalidIndexSummary[]> {
  return database.transaction('search for INVALID indexes', LIMIT_MS, async (session) => {
    await session.unsafe(CALLS.readOnlySettings);
    return indexesIn(session);
  });
}

async function indexesIn(session: Session): Promise<InvalidIndexSummary[]> {
  const indexes = await rowsOf<InvalidIndexSummary>(session, CALLS.invalidIndexes);
  if (indexes.length === 0) return indexes;
  // An index that was just finished is INVALID in the first snapshot, and its lock is gone by then.
  const again = await rowsOf<InvalidIndexSummary>(session, CALLS.invalidIndexes);
  return indexes.filter((index) =>
    again.some(({ schema, name }) => schema === index.schema && name === index.name),
  );
}

async function rowsOf<T>(session: Session, statement: string): Promise<T[]> {
  return (await session.unsafe<{ answer: T[] }[]>(statement))[0]?.answer ?? [];
}
