import { OwnDatabase } from '../../src/db/own-database.js';
import { readConnectionConfig } from '../../src/db/settings/connection-config.js';
import { LockCalls } from '../../src/lock/calls.js';
import { describeThisProcess, newIdentity, type Identity } from '../../src/lock/lease.js';
import { ensureSchema } from '../../src/schema/apply.js';

export const LIMIT_MS = 10_000;

export function openDatabase(url: string): OwnDatabase {
  return new OwnDatabase(readConnectionConfig({ url, env: {} }));
}

/** The calls of a lock whose schema is applied. */
export async function openLock(url: string, schema = 'migrate_lock'): Promise<LockCalls> {
  const database = openDatabase(url);
  await ensureSchema(database, schema);
  return new LockCalls(database, schema);
}

/** One attempt of a new client that does not wait. */
export async function tryToAcquire(
  calls: LockCalls,
  { ttlMs = 30_000, me = newIdentity() }: { ttlMs?: number; me?: Identity } = {},
) {
  const answer = await calls.poll(me, describeThisProcess('a migration'), {
    ttlMs,
    pollIntervalMs: 1_000,
    isLast: true,
    limitMs: LIMIT_MS,
    respect: null,
    orphans: null,
  });
  if (answer === null) throw new Error('there is no lock schema');
  return { me, answer };
}
