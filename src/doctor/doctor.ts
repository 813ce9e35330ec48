import type { ConnectionConfig } from '../db/settings/connection-config.js';
import type { Database } from '../db/database.js';
import { OwnDatabase } from '../db/own-database.js';
import type { MigrateLockEvent } from '../events/events.js';
import type { Check } from './check-results.js';
import { checkDatabase, CONNECTION, FREE_CONNECTIONS } from './database-checks.js';
import { checkLeftovers, type LockState } from './leftover-checks.js';
import { LOCK_SCHEMA } from './lock-checks.js';
import { checkMachine } from './machine-checks.js';
import { nameByHand } from './session-names.js';
import { NOT_WATCHED, SessionWatch } from './watch-sessions.js';

export interface Examined {
  connection: ConnectionConfig;
  schema: string;
  env: NodeJS.ProcessEnv;
  readStatus: (database: Database) => Promise<LockState>;
}

/** All checks, in the order in which they are shown, each group when it is made. Changes nothing in the database. */
export async function* examine({ connection, schema, env, readStatus }: Examined): AsyncGenerator<Check> {
  const database = new OwnDatabase(connection);
  const subject = { database: connection.describe, schema };
  try {
    const checks = await checkDatabase(database, connection, subject);
    yield* checks;
    yield* await checkMachine(env);
    if (!isOk(checks, CONNECTION)) return;
    yield* await checkLeftovers(
      database,
      subject,
      isOk(checks, LOCK_SCHEMA) ? () => readStatus(database) : null,
    );
  } finally {
    database.disconnect();
  }
}

export interface Watched {
  checks: readonly Check[];
  connection: ConnectionConfig;
  schema: string;
  env: NodeJS.ProcessEnv;
  command: readonly string[];
  /** Runs the command under the lock. */
  run: (listener: (event: MigrateLockEvent) => void) => Promise<number>;
}

/** Runs the command and watches its sessions. `seen`: undefined when the command did not start. */
export async function runAndWatch({
  checks,
  connection,
  schema,
  env,
  command,
  run,
}: Watched): Promise<{ exitCode: number; seen: Check | undefined }> {
  // The watch would take a connection that the command needs.
  if (!isOk(checks, FREE_CONNECTIONS)) return { exitCode: await run(() => undefined), seen: NOT_WATCHED };
  const watch = new SessionWatch(connection, schema, nameByHand(command, env));
  await watch.begin();
  const exitCode = await run(watch.onEvent);
  return { exitCode, seen: await watch.finish() };
}

function isOk(checks: readonly Check[], name: string): boolean {
  return checks.some((check) => check.name === name && check.status === 'ok');
}
