/** The server that all test files share; each has its own database in it (database.ts). */
import postgres from 'postgres';
import { startServer } from './embedded-server.mjs';

/** @type {import('./embedded-server.mjs').EmbeddedServer | null} */
let server = null;

/** Makes TEST_DATABASE_URL name a server that answers: the given one, or an embedded one. */
export async function startSharedServer() {
  const given = process.env['TEST_DATABASE_URL'];
  if (given !== undefined) {
    await check(given);
    return;
  }
  // 200 processes at once in one test file, and another file beside it.
  server = await startServer({ settings: { max_connections: 500 } });
  process.env['TEST_DATABASE_URL'] = server.url;
}

export async function stopSharedServer() {
  await server?.stop();
}

/** @param {string} url */
async function check(url) {
  const sql = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => undefined });
  try {
    await sql`SELECT 1`;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const advice = 'leave it unset, and npm test starts a server of its own';
    throw new Error(`TEST_DATABASE_URL does not answer (${reason}); ${advice}`, { cause });
  } finally {
    await sql.end({ timeout: 1 });
  }
}
