import type { Database } from '../db/database.js';
import { databaseLeftovers } from '../recover/leftovers.js';
import { takenToolLocks } from '../recover/tool-locks.js';
import type { StatusReport } from '../ui/status-text.js';
import { unclean } from '../ui/unclean-end.js';
import {
  aboutToolLocks,
  indexNames,
  named,
  preparedNames,
  toolLockNames,
  whatToRun,
} from '../ui/leftovers-text.js';
import { ok, unknown, warn, type Check, type Subject } from './check-results.js';

/** What the checks need of the lock's status. */
export type LockState = Pick<StatusReport, 'state' | 'uncleanEnds'>;

/**
 * What a migration that was cut off may have left. Reads only.
 * @param readLock null: the lock cannot be used.
 */
export async function checkLeftovers(
  database: Database,
  subject: Subject,
  readLock: (() => Promise<LockState>) | null,
): Promise<Check[]> {
  return [
    ...(await orUnknown(['invalid-indexes', 'prepared-transactions'], subject, () => inDatabase(database))),
    ...(await orUnknown(['tool-locks'], subject, () => ofTools(database, readLock))),
    ...(readLock === null
      ? []
      : await orUnknown(['unclean-ends'], subject, async () => [judgeEnds(await readLock())])),
  ];
}

async function orUnknown(names: string[], subject: Subject, work: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await work();
  } catch (error) {
    return names.map((name) => unknown(name, 'warn', error, subject));
  }
}

async function inDatabase(database: Database): Promise<Check[]> {
  const found = await databaseLeftovers(database);
  const indexes = found?.indexes ?? [];
  const prepared = found?.preparedTransactions ?? [];
  return [
    indexes.length === 0
      ? ok('invalid-indexes', 'none')
      : warn(
          'invalid-indexes',
          indexNames(indexes),
          `A migration with IF NOT EXISTS does not build such an index again. ${whatToRun(indexes, [])}`,
        ),
    prepared.length === 0
      ? ok('prepared-transactions', 'none of this role')
      : warn(
          'prepared-transactions',
          preparedNames(prepared),
          `They keep their locks. ${whatToRun([], prepared)}`,
        ),
  ];
}

/** A tool that runs now has its lock, too. */
async function ofTools(database: Database, readLock: (() => Promise<LockState>) | null): Promise<Check[]> {
  const name = 'tool-locks';
  const locks = await takenToolLocks(database);
  if (locks.length === 0) return [ok(name, 'none is taken')];
  const shown = toolLockNames(locks);
  const state = (await readLock?.())?.state;
  return [
    state === 'held'
      ? ok(name, `${shown}, while a run holds the lock`)
      : warn(name, shown, aboutToolLocks({ locks }).hint),
  ];
}

function judgeEnds({ uncleanEnds }: LockState): Check {
  return uncleanEnds.length === 0
    ? ok('unclean-ends', 'none')
    : warn(
        'unclean-ends',
        named(
          uncleanEnds.map(
            ({ command, kind, endedAt }) => `${command ?? 'a command'} (${unclean(kind)}, ${endedAt})`,
          ),
          '; ',
        ),
        'The next run of the same command recovers if it knows the tool or has --recover; otherwise check what it left. ' +
          'The mark goes when that command succeeds, or with `migrate-lock cleanup --keep`.',
      );
}
