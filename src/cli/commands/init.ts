import { hostname } from 'node:os';
import { createAuditLog } from '../../audit/audit-log.js';
import { readConnectionConfig } from '../../db/connection-config.js';
import { OwnDatabase } from '../../db/own-database.js';
import { explain } from '../../db/explain.js';
import { createEventStream } from '../../event-stream.js';
import { newIdentity } from '../../lock/lease.js';
import { ensureSchema, printSchema } from '../../schema/apply.js';
import type { ConnectionOptionValues } from '../options.js';
import type { Surroundings } from '../surroundings.js';

export interface InitOptionValues extends ConnectionOptionValues {
  print: boolean;
}

/** Applies the lock schema and nothing else, or prints it for a database administrator to apply. */
export async function initCommand(values: InitOptionValues, surroundings: Surroundings): Promise<number> {
  const { env, stdout, reporterFor } = surroundings;
  if (values.print) {
    stdout.writeLine(printSchema(values.schema).trimEnd());
    return 0;
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const reporter = reporterFor(values.quiet);
  const database = new OwnDatabase(connection);
  try {
    const applied = await ensureSchema(database, values.schema);
    if (applied === null) {
      reporter.warn(`the lock schema "${values.schema}" is there already, nothing was changed`);
      return 0;
    }
    const events = createEventStream(
      {
        instanceId: newIdentity().instanceId,
        host: hostname(),
        pid: process.pid,
        database: connection.database,
        schema: values.schema,
      },
      [createAuditLog(stdout), reporter.onEvent],
    );
    events.emit({ event: 'schema.applied', ...applied });
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, values.schema);
  } finally {
    database.disconnect();
  }
}
