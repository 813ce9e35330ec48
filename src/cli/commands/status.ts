import { isatty } from 'node:tty';
import { escapeForTerminals } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import { paintFor, wantsColour } from '../../ui/colour.js';
import { describeStatus, type StatusReport } from '../../ui/status-text.js';
import { OwnOption } from '../own-option.js';
import { printLines } from '../print-lines.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import { readStatusReport } from '../status-report.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { durationReader } from '../values.js';
import { watchStatus } from '../watch-status.js';

const WATCH_EVERY = '2s';
/** The database answers no more often. */
const SHORTEST_WATCH_MS = 200;

export const addStatus: AddCommand = (program, processContext, onExitCode) => {
  const status = program
    .command('status')
    .description(
      'show the holder, what its command is doing in the database, and the waiters; changes nothing',
    )
    .option('--json', 'print one JSON object instead of text', false)
    .addOption(
      new OwnOption(
        '--watch [duration]',
        `show it again every ${WATCH_EVERY}, or as often as given; Ctrl-C ends it`,
      )
        .readBy(durationReader(WATCH_EVERY))
        .preset(WATCH_EVERY),
    );
  for (const option of connectionOptions()) status.addOption(option);
  status.action(async (values: StatusOptionValues) => {
    onExitCode(await statusCommand(values, processContext));
  });
};

interface StatusOptionValues extends ConnectionOptionValues {
  json: boolean;
  watch?: number;
}

/**
 * Shows the holder, its sessions and the waiters. Changes nothing, and needs only the right to call the functions status() and
 * activity().
 */
async function statusCommand(
  { json, watch, schema, ...values }: StatusOptionValues,
  { env, stdout }: ProcessContext,
): Promise<number> {
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  const paint = paintFor(!json && wantsColour(env, isatty(1)));
  const read = (): Promise<StatusReport> => readStatusReport(database, connection.database, schema);
  const describe = (report: StatusReport): string[] =>
    json ? [escapeForTerminals(JSON.stringify(report))] : describeStatus(report, paint);
  try {
    if (watch === undefined) {
      const lines = describe(await read());
      database.disconnect(); // a reader may take its time
      await printLines(stdout, lines);
    } else {
      const everyMs = Math.max(SHORTEST_WATCH_MS, watch);
      await watchStatus({
        everyMs,
        json,
        env,
        stdout,
        read,
        describe,
        explain: (error) => explain(error, connection.describe, schema),
      });
    }
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, schema);
  } finally {
    database.disconnect();
  }
}
