/** A client that asks for the lock over many connections, without a pause, until its parent ends. */
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';

const CONNECTIONS = 20;
/** Its work is done, so it never gets the lock, which others would have to wait for: only the load is measured. */
const RUN_KEY = 'done';

const sql = postgres(process.env['DATABASE_URL'] ?? '', { max: CONNECTIONS, onnotice: () => undefined });
let attempts = 0;
let refused = 0;

async function askWithoutEnd() {
  for (;;) {
    const [row] = await sql`
      SELECT migrate_lock.poll(
        1, ${randomUUID()}, 'secret', 60000, 'abuser', NULL, NULL, 'sha', ${RUN_KEY}, NULL, NULL, 'terminate', NULL, 1000, true, false) AS answer`;
    attempts++;
    if (row?.['answer'].retryAfterMs !== undefined) refused++;
  }
}

for (let connection = 0; connection < CONNECTIONS; connection++) void askWithoutEnd();
process.on('message', () => {
  process.send?.({ attempts, refused });
  attempts = 0;
  refused = 0;
});
process.on('disconnect', () => process.exit(0));
