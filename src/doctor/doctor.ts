import type { ConnectionConfig } from '../db/settings/connection-config.js';
import type { Database } from '../db/database.js';
import { OwnDatabase } from '../db/own-database.js';
import type { Check } from './check.js';
import { checkDatabase } from './database-checks.js';
import { checkLeftovers, type LockState } from './leftover-checks.js';
import { checkMachine } from './machine-checks.js';

export { SessionWatch } from './watch-sessions.js';

export interface Examined {
  connection: ConnectionConfig;
  schema: string;
  env: NodeJS.ProcessEnv;
  readStatus: (database: Database) => Promise<LockState>;
}

/** All checks, in the order in which they are shown. Changes nothing in the database. */
export async function examine({ connection, schema, env, readStatus }: Examined): Promise<Check[]> {
  const database = new OwnDatabase(connection);
  try {
    const { checks, isReachable } = await checkDatabase(database, connection, schema);
    const machine = await checkMachine(env);
    const subject = { database: connection.describe, schema };
    const left = isReachable ? await checkLeftovers(database, subject, () => readStatus(database)) : [];
    return [...checks, ...machine, ...left];
  } finally {
    database.disconnect();
  }
}
