import { escapeForTerminals } from '../../events/json-lines.js';
import { isAbsent } from '../../db/classify.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import type { HistoryRow } from '../../lock/answers.js';
import { CALL_LIMIT_MS, LockCalls } from '../../lock/calls.js';
import { readHistoryTable, mustReadTables } from '../../admin/read-tables.js';
import { verifyHistory, type VerifiedHistory } from '../../admin/verify-history.js';
import { formatMoment } from '../../text/moment.js';
import { readSchemaVersion } from '../../schema/schema-version.js';
import { describeEntry, type HistoryEntry } from '../../ui/history-text.js';
import { printLines } from '../print-lines.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { OwnOption } from '../own-option.js';
import { durationReader, LONGEST_KEEP_MS, numberReader } from '../values.js';

export const addHistory: AddCommand = (program, processContext, onExitCode) => {
  const history = program
    .command('history')
    .description('show the history of the lock, the newest row last; changes nothing')
    .option('--json', 'print one JSON object a line instead of text', false)
    .option('--verify', 'check that no row was changed, inserted or removed, and print none', false);
  for (const option of [...historyOptions(), ...connectionOptions()]) history.addOption(option);
  history.action(async (values: HistoryOptionValues) => {
    onExitCode(await historyCommand(values, processContext));
  });
};

/** For more rows, query the table. */
const LONGEST_HISTORY = 10_000;

function historyOptions(): OwnOption[] {
  return [
    new OwnOption('--limit <n>', 'how many rows at most, the newest')
      .default(20)
      .readBy(numberReader('a number', 1, LONGEST_HISTORY, 20)),
    new OwnOption('--since <duration>', 'only what happened in this time, for example 1d').readBy(
      durationReader('1d', { mayBeZero: true, longestMs: LONGEST_KEEP_MS }),
    ),
  ];
}

interface HistoryOptionValues extends ConnectionOptionValues {
  limit: number;
  /** Milliseconds. */
  since?: number;
  json: boolean;
  verify: boolean;
}

/** Shows the history of the lock, the newest row last. Changes nothing, and needs only the right to call history(). */
async function historyCommand(
  { limit, since, json, verify, schema, quiet, ...values }: HistoryOptionValues,
  { env, stdout, reporterFor }: ProcessContext,
): Promise<number> {
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  try {
    if (verify) {
      const verified = await checkHistory(database, schema);
      if (json) await printLines(stdout, [JSON.stringify(verified)]);
      else reporterFor(quiet).warn(describeVerified(verified));
      return 0;
    }
    const entries = (await readHistory(database, schema, limit, since ?? null)).map(entryOf);
    const shown = (entry: HistoryEntry): string =>
      json ? escapeForTerminals(JSON.stringify(entry)) : describeEntry(entry);
    database.disconnect(); // a reader may take its time
    await printLines(stdout, entries.map(shown));
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, schema);
  } finally {
    database.disconnect();
  }
}

function describeVerified({ rows, headSeq, headHash }: VerifiedHistory): string {
  if (headSeq === 0) return 'the history is unchanged: it has no chained row yet';
  return `the history is unchanged: ${rows} chained rows, the newest is ${headHash}`;
}

/** Without a lock schema there is no row to check. */
async function checkHistory(database: OwnDatabase, schema: string): Promise<VerifiedHistory> {
  try {
    return await verifyHistory(new LockCalls(database, schema));
  } catch (error) {
    if (isAbsent(error) && (await readSchemaVersion(database, schema, CALL_LIMIT_MS)) === null)
      return { rows: 0, headSeq: 0, headHash: '' };
    throw error;
  }
}

/** Without a lock schema the history is empty; it is not created. */
async function readHistory(
  database: OwnDatabase,
  schema: string,
  limit: number,
  sinceMs: number | null,
): Promise<HistoryRow[]> {
  try {
    return await new LockCalls(database, schema).history(limit, sinceMs);
  } catch (error) {
    if (await mustReadTables(error, database, schema))
      return readHistoryTable(database, schema, limit, sinceMs);
    // A schema that is there without the function is incomplete, or older than it: the error says so.
    if (isAbsent(error) && (await readSchemaVersion(database, schema, CALL_LIMIT_MS)) === null) return [];
    throw error;
  }
}

/** With the fields in reading order; the database sorts them by name. */
function entryOf({ id, atMs, event, instanceId, fencingToken, ...rest }: HistoryRow): HistoryEntry {
  const { dbRole, clientAddress, applicationName, details, auditHash } = rest;
  const at = formatMoment(atMs);
  return {
    id,
    at,
    atMs,
    event,
    instanceId,
    fencingToken,
    dbRole,
    clientAddress,
    applicationName,
    details,
    auditHash,
  };
}
