import { escapeForTerminals } from '../../audit/audit-log.js';
import { classify } from '../../db/classify.js';
import { readConnectionConfig } from '../../db/connection-config.js';
import { explain } from '../../db/explain.js';
import { OwnDatabase } from '../../db/own-database.js';
import { LockCalls } from '../../lock/calls.js';
import { describeStatus } from '../../ui/status-text.js';
import type { ConnectionOptionValues } from '../options.js';
import type { Surroundings } from '../surroundings.js';

export interface StatusOptionValues extends ConnectionOptionValues {
  json: boolean;
}

type LockStatus = Awaited<ReturnType<LockCalls['status']>>;
/** `isReplica` is only there when it is true: see status() in sql/. */
type Status = LockStatus & { isReplica?: boolean };

/** Tells who has the lock and who waits. Reads only, and needs no right but to call the function status(). */
export async function statusCommand(
  values: StatusOptionValues,
  { env, stdout }: Surroundings,
): Promise<number> {
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  try {
    const { state, lease, waiters, isReplica = false } = await readStatus(database, values.schema);
    const report = {
      database: connection.database,
      schema: values.schema,
      state,
      lease: lease === null ? null : withMoments(lease),
      waiters,
      isReplica,
    };
    const lines = values.json ? [escapeForTerminals(JSON.stringify(report))] : describeStatus(report);
    for (const line of lines) stdout.writeLine(line);
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, values.schema);
  } finally {
    database.disconnect();
  }
}

/** Where there is no lock schema yet, nobody has used the lock: to look at it creates nothing. */
async function readStatus(database: OwnDatabase, schema: string): Promise<Status> {
  try {
    return await new LockCalls(database, schema).status();
  } catch (error) {
    if (classify(error) === 'absent') return { state: 'free', lease: null, waiters: [] };
    throw error;
  }
}

function withMoments(lease: NonNullable<LockStatus['lease']>) {
  const { lockedAtMs, expiresAtMs, releasedAtMs } = lease;
  return {
    ...lease,
    lockedAt: new Date(lockedAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    releasedAt: releasedAtMs === null ? null : new Date(releasedAtMs).toISOString(),
  };
}
