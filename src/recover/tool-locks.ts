import { copyRows, type CopiedRow } from '../db/copy-rows.js';
import type { Database } from '../db/database.js';
import { CALLS } from '../generated/sql.js';
import type { UncleanEnd } from '../lock/answers.js';
import type { ToolName } from './tools.js';

const LIMIT_MS = 15_000;
/** LOCKGRANTED may be of the tool's clock, which can differ from the database's. */
const SLACK_MS = 60_000;

/** A tool's own lock that is taken, or its unfinished work. */
export interface TakenToolLock {
  tool: ToolName;
  schema: string;
  table: string;
  /** What can be given as `--recover`. */
  recover: string;
}

/** A table of a tool, and its rows. */
export interface ToolTable {
  tool: ToolName;
  schema: string;
  table: string;
  rows: CopiedRow[];
}

/** The tables of known tools that our role may read, in any schema. Nothing of their owners runs: see sql/calls/tool-tables.sql. */
export function readToolTables(database: Database): Promise<ToolTable[]> {
  return database.transaction('read the locks of tools', LIMIT_MS, async (session) => {
    await session.unsafe(CALLS.readOnlySettings);
    const [row] = await session.unsafe<{ answer: (Omit<ToolTable, 'rows'> & { statement: string })[] }[]>(
      CALLS.toolTables,
    );
    const tables: ToolTable[] = [];
    for (const { statement, ...table } of row?.answer ?? []) {
      tables.push({ ...table, rows: await copyRows(session, statement) });
    }
    return tables;
  });
}

/**
 * Whether the tool's own lock is taken: Liquibase's, since a moment within the lease that ended so; knex's row names no owner
 * and no time.
 */
export async function isToolLocked(
  database: Database,
  tool: ToolName,
  previousEnd: Pick<UncleanEnd, 'lockedAtMs' | 'endedAtMs'>,
): Promise<boolean> {
  const tables = (await readToolTables(database)).filter((table) => table.tool === tool);
  return tables.some(({ rows }) =>
    rows.some((row) => isTaken(tool, row) && (tool !== 'liquibase' || wasGrantedIn(row[1], previousEnd))),
  );
}

/** What is still taken after a command failed that we do not know, or that did not recover. */
export async function takenToolLocks(database: Database): Promise<TakenToolLock[]> {
  return (await readToolTables(database))
    .filter(({ tool, rows }) => rows.some((row) => isTaken(tool, row)))
    .map(({ tool, schema, table }) => ({ tool, schema, table, recover: RECOVER[tool] }));
}

/** How many sessions the commands of a lease have left. */
export function sessionsOfLease(database: Database, instanceId: string): Promise<number> {
  return database.transaction('count the sessions of the last lease', LIMIT_MS, async (session) => {
    await session.unsafe(CALLS.readOnlySettings);
    const [row] = await session.unsafe<{ answer: { sessions: number } }[]>(CALLS.leaseSessions, [
      instanceId,
      database.isPooled,
    ]);
    if (row === undefined) throw new Error('no answer to the count of sessions');
    return row.answer.sessions;
  });
}

const RECOVER: Record<ToolName, string> = {
  knex: 'npx knex migrate:unlock',
  liquibase: 'liquibase release-locks',
  prisma: 'prisma',
};

/** The columns are those that sql/calls/tool-tables.sql reads. */
function isTaken(tool: ToolName, row: CopiedRow): boolean {
  switch (tool) {
    case 'knex':
      return row[0] === '1';
    case 'liquibase':
      return row[0] === 't';
    case 'prisma':
      return row[2] === null && row[3] === null;
  }
}

/**
 * LOCKGRANTED has no time zone: it is in that of the tool, which is UTC, or ours, as the command had our environment.
 * An unknown time is outside.
 */
function wasGrantedIn(
  granted: string | null | undefined,
  { lockedAtMs, endedAtMs }: Pick<UncleanEnd, 'lockedAtMs' | 'endedAtMs'>,
): boolean {
  if (granted == null) return false;
  const moment = granted.replace(' ', 'T');
  return [Date.parse(`${moment}Z`), Date.parse(moment)].some(
    (atMs) => atMs >= lockedAtMs - SLACK_MS && atMs <= endedAtMs + SLACK_MS,
  );
}
