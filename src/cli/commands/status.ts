import { escapeForTerminals } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import { describeStatus } from '../../ui/status-text.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import { readStatusReport } from '../status-report.js';
import type { AddCommand, ProcessContext } from '../process-context.js';

export const addStatus: AddCommand = (program, processContext, onExitCode) => {
  const status = program
    .command('status')
    .description('show the holder and the waiters; changes nothing')
    .option('--json', 'print one JSON object instead of text', false);
  for (const option of connectionOptions()) status.addOption(option);
  status.action(async (values: StatusOptionValues) => {
    onExitCode(await statusCommand(values, processContext));
  });
};

interface StatusOptionValues extends ConnectionOptionValues {
  json: boolean;
}

/** Shows the holder and the waiters. Changes nothing, and needs only the right to call the function status(). */
async function statusCommand(values: StatusOptionValues, { env, stdout }: ProcessContext): Promise<number> {
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  try {
    const report = await readStatusReport(database, connection.database, values.schema);
    const lines = values.json ? [escapeForTerminals(JSON.stringify(report))] : describeStatus(report);
    for (const line of lines) stdout.writeLine(line);
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, values.schema);
  } finally {
    database.disconnect();
  }
}
