import type { EventOf } from '../events/events.js';

/** As many as are named. */
const MOST_NAMED = 5;

interface Sentences {
  text: string;
  hint: string;
}

type Leftovers = Pick<EventOf<'database.leftovers'>, 'indexes' | 'preparedTransactions'>;
type Indexes = NonNullable<Leftovers['indexes']>;
type Prepared = NonNullable<Leftovers['preparedTransactions']>;

/** The message about what a migration that was cut off can leave in the database. */
export function aboutLeftovers({ indexes, preparedTransactions }: Leftovers): Sentences {
  const texts = [
    ...(indexes === null ? [] : [`INVALID indexes that no session is building: ${indexNames(indexes)}`]),
    ...(preparedTransactions === null
      ? []
      : [
          `prepared transactions of our role, which keep their locks: ${preparedNames(preparedTransactions)}`,
        ]),
  ];
  return {
    text: `the database has ${texts.join(', and ')}`,
    hint:
      'migrate-lock does not change them. A migration with IF NOT EXISTS does not build such an index again. ' +
      whatToRun(indexes ?? [], preparedTransactions ?? []),
  };
}

export function indexNames(indexes: Indexes): string {
  return named(indexes.map(({ schema, name, table }) => `${schema}.${name} (on ${table})`));
}

export function preparedNames(prepared: Prepared): string {
  return named(prepared.map(({ gid, preparedAt }) => `${gid} (since ${preparedAt})`));
}

export function whatToRun(indexes: Indexes, prepared: Prepared): string {
  const statements = [
    ...indexes.map(({ drop, reindex }) => [reindex, drop]),
    ...prepared.map(({ commit, rollback }) => [commit, rollback]),
  ].map((either) => either.filter((statement) => statement !== null).join(' or '));
  return `What you can run: ${named(
    statements.filter((text) => text !== ''),
    '; ',
  )}.`;
}

/** The message about a tool that says that it still runs. */
export function aboutToolLocks({ locks }: Pick<EventOf<'tool.locked'>, 'locks'>): Sentences {
  const recover = [...new Set(locks.map(({ recover }) => recover))].map(
    (command) => `--recover '${command}'`,
  );
  return {
    text: `a lock of the migration tool itself may be the reason: ${toolLockNames(locks)}`,
    hint: `If nothing else runs that tool, let the next run recover: ${recover.join(', or ')}.`,
  };
}

export function toolLockNames(locks: EventOf<'tool.locked'>['locks']): string {
  return named(
    locks.map(({ tool, schema, table }) =>
      tool === 'prisma'
        ? `${schema}.${table} has an unfinished migration (prisma)`
        : `${schema}.${table} is taken (${tool})`,
    ),
  );
}

/** A list of names, cut when it is long. */
export function named(names: readonly string[], separator = ', '): string {
  const more = names.length - MOST_NAMED;
  return [...names.slice(0, MOST_NAMED), ...(more > 0 ? [`${more} more`] : [])].join(separator);
}
