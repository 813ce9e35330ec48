import type { Database } from '../db/database.js';
import type { EventFields } from '../events/events.js';
import { CALLS } from '../generated/sql.js';

const LIMIT_MS = 15_000;

type Leftovers = EventFields['database.leftovers'];
type InvalidIndex = NonNullable<Leftovers['indexes']>[number];
type Prepared = Omit<NonNullable<Leftovers['preparedTransactions']>[number], 'preparedAt'> & {
  preparedAtMs: number;
};

/**
 * What a cut-off migration may have left in the database; nothing says who left it, and nothing is changed.
 * null: there is nothing.
 */
export function databaseLeftovers(database: Database): Promise<Leftovers | null> {
  return database.transaction('look for leftovers in the database', LIMIT_MS, async (session) => {
    await session.unsafe(CALLS.lookSettings);
    const ask = async <T>(statement: string): Promise<T[]> =>
      (await session.unsafe<{ answer: T[] }[]>(statement))[0]?.answer ?? [];
    let indexes = await ask<InvalidIndex>(CALLS.invalidIndexes);
    if (indexes.length > 0) {
      // An index that was just finished is INVALID in the first snapshot, and its lock is gone by then.
      const again = await ask<InvalidIndex>(CALLS.invalidIndexes);
      indexes = indexes.filter((index) =>
        again.some(({ schema, name }) => schema === index.schema && name === index.name),
      );
    }
    const prepared = await ask<Prepared>(CALLS.preparedTransactions);
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
