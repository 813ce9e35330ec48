import { escapeForTerminals } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import { describeStatus } from '../../ui/status-text.js';
import type { ConnectionOptionValues } from '../options.js';
import { readStatusReport } from '../status-report.js';
import type { Surroundings } from '../surroundings.js';

export interface StatusOptionValues extends ConnectionOptionValues {
  json: boolean;
}

/** Shows the holder and the waiters. Changes nothing, and needs only the right to call the function status(). */
export async function statusCommand(
  values: StatusOptionValues,
  { env, stdout }: Surroundings,
): Promise<number> {
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
