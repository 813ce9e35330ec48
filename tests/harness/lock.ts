import { OwnDatabase } from '../../src/db/database.js';
import { LockCalls } from '../../src/lock/calls.js';
import { describeThisProcess, newIdentity, type Identity } from '../../src/lock/lease.js';
import { ensureSchema } from '../../src/schema/apply.js';

export const LIMIT_MS = 10_000;

export function openDatabase(url: string): OwnDatabase {
  return new OwnDatabase(target(url));
}

/** The lock's calls on a database, with the lock schema applied. */
export async function openLock(url: string, schema = 'migrate_lock'): Promise<LockCalls> {
  const database = openDatabase(url);
  await ensureSchema(database, schema);
  return new LockCalls(database, schema);
}

/** One attempt of a client of its own. */
export async function tryToAcquire(
  calls: LockCalls,
  { ttlMs = 30_000, me = newIdentity() }: { ttlMs?: number; me?: Identity } = {},
) {
  const answer = await calls.acquire(me, describeThisProcess('a migration'), ttlMs, LIMIT_MS);
  return { me, answer };
}

function target(text: string) {
  const url = new URL(text);
  return {
    hosts: [{ host: url.hostname, port: Number(url.port) }],
    database: url.pathname.slice(1),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    ssl: 'disable' as const,
    tls: {},
    options: undefined,
    describe: 'x',
  };
}
