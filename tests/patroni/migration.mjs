// A migration of some seconds that writes down when it lives, on this machine's monotonic clock: rows can be lost in a
// failover, and the clock of the database is another one afterwards. Exits with 3 when the database fails, and with 9 when
// another migration is there.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';

const {
  DATABASE_URL,
  MIGRATE_LOCK_INSTANCE_ID: id = 'none',
  MIGRATE_LOCK_FENCING_TOKEN: token = '0',
} = process.env;
const log = join(process.argv[2] ?? '', id);
const beat = () => appendFileSync(log, `${process.hrtime.bigint()}\n`);

beat();
const beats = setInterval(beat, 10);
process.on('exit', beat);
// What postgres.js throws when the server closes the connection between two of its writes.
process.on('uncaughtException', (error) => {
  console.error(error);
  process.exit(3);
});

const sql = postgres(DATABASE_URL ?? '', {
  max: 1,
  fetch_types: false,
  connect_timeout: 5,
  onnotice: () => undefined,
  // It takes a standby for read-write.
  target_session_attrs: 'primary',
});
try {
  await sql.begin(async (transaction) => {
    const [row] = await transaction`SELECT pg_try_advisory_xact_lock(1) AS alone, clock_timestamp() AS start`;
    if (row?.['alone'] !== true) process.exit(9);
    await transaction`SELECT pg_sleep(1.2)`;
    await transaction`SELECT migrate_lock.assert_held(${id}, ${token})`;
    await transaction`INSERT INTO ran VALUES (${id}, tstzrange(${row['start']}, clock_timestamp()))`;
  });
} catch (error) {
  console.error(error);
  process.exitCode = 3;
} finally {
  clearInterval(beats);
  await sql.end({ timeout: 1 });
}
