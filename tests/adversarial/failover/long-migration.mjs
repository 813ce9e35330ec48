// A migration that outlives its database server: records that it runs, waits until the given file appears, and ends in
// a transaction that asserts its lease on the server of that moment. Exits with 3 when the lease is not held.
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';

const { DATABASE_URL, MIGRATE_LOCK_INSTANCE_ID: id, MIGRATE_LOCK_FENCING_TOKEN: token } = process.env;
const connect = () => postgres(DATABASE_URL ?? '', { max: 1, fetch_types: false, onnotice: () => undefined });

const before = connect();
await before`INSERT INTO ran (instance_id, during) VALUES (${id ?? 'none'}, tstzrange(clock_timestamp(), NULL))`;
await before.end();

while (!existsSync(process.argv[2] ?? '')) await sleep(20);

const after = connect();
try {
  await after.begin(async (sql) => {
    await sql`SELECT migrate_lock.assert_held(${id ?? 'none'}, ${token ?? 0})`;
    await sql`UPDATE ran SET during = tstzrange(lower(during), clock_timestamp()) WHERE instance_id = ${id ?? 'none'}`;
  });
} catch (error) {
  if (!(error instanceof Error && 'code' in error && error.code === '55000')) throw error;
  process.exitCode = 3;
} finally {
  await after.end();
}
