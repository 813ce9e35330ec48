/** A client that keeps asking for the lock over many connections, without a pause, until its parent goes. */
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';

const CONNECTIONS = 20;
/** Its work is done: it never gets the lock, as who has got it rightly would have to be waited for. This is about the load. */
const CLIENT = JSON.stringify({ host: 'abuser', runKey: 'done' });

const sql = postgres(process.env['DATABASE_URL'] ?? '', { max: CONNECTIONS, onnotice: () => undefined });
let attempts = 0;
let refused = 0;

async function askWithoutEnd() {
  for (;;) {
    const [row] = await sql`
      SELECT migrate_lock.poll(${randomUUID()}, 'secret', 60000, ${CLIENT}::text::jsonb, '{}', 1000, true) AS answer`;
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
