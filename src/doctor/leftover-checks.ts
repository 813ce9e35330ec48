import type { Database } from '../db/database.js';
import { databaseLeftovers } from '../recover/leftovers.js';
import { takenToolLocks } from '../recover/tool-locks.js';
import type { StatusReport } from '../ui/status-text.js';
import { unclean } from '../ui/unclean-end.js';
import { named } from '../ui/leftovers.js';
import { ok, unknown, warn, type Check, type Subject } from './check.js';

/** What the checks need of the lock's status. */
export type LockState = Pick<StatusReport, 'state' | 'uncleanEnds'>;

/** What a migration that was cut off may have left. Reads only. */
export async function checkLeftovers(
  database: Database,
  subject: Subject,
  readStatus: () => Promise<LockState>,
): Promise<Check[]> {
  return [
    ...(await attempt(['invalid-indexes', 'prepared-transactions'], subject, () => inDatabase(database))),
    ...(await attempt(['tool-locks'], subject, () => ofTools(database, readStatus))),
    ...(await attempt(['unclean-ends'], subject, async () => [judgeEnds(await readStatus())])),
  ];
}

async function attempt(names: string[], subject: Subject, work: () => Promise<Check[]>): Promise<Check[]> {
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
  const either = (statements: (string | null)[]): string =>
    statements.filter((statement) => statement !== null).join(' or ');
  return [
    indexes.length === 0
      ? ok('invalid-indexes', 'none')
      : warn(
          'invalid-indexes',
          named(indexes.map(({ schema, name, table }) => `${schema}.${name} (on ${table})`)),
          'A migration with IF NOT EXISTS does not build such an index again. What you can run: ' +
            `${named(
              indexes.map(({ reindex, drop }) => either([reindex, drop])),
              '; ',
            )}.`,
        ),
    prepared.length === 0
      ? ok('prepared-transactions', 'none of this role')
      : warn(
          'prepared-transactions',
          named(prepared.map(({ gid, preparedAt }) => `${gid} (since ${preparedAt})`)),
          `They keep their locks. What you can run: ${named(
            prepared.map(({ commit, rollback }) => either([commit, rollback])),
            '; ',
          )}.`,
        ),
  ];
}

/** A tool that runs now has its lock, too. */
async function ofTools(database: Database, readStatus: () => Promise<LockState>): Promise<Check[]> {
  const name = 'tool-locks';
  const locks = await takenToolLocks(database);
  if (locks.length === 0) return [ok(name, 'none is taken')];
  const shown = named(
    locks.map(({ tool, schema, table }) =>
      tool === 'prisma'
        ? `${schema}.${table} has an unfinished migration (prisma)`
        : `${schema}.${table} is taken (${tool})`,
    ),
  );
  const { state } = await readStatus();
  if (state === 'held') return [ok(name, `${shown}, while a run holds the lock`)];
  const commands = [...new Set(locks.map(({ recover }) => recover))];
  return [
    warn(
      name,
      shown,
      `If nothing else runs that tool, let the next run recover: ${commands.map((command) => `--recover '${command}'`).join(', or ')}.`,
    ),
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
        'The next run of the same command recovers where it knows the tool; otherwise look at what it left, and give --recover.',
      );
}
