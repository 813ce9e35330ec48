import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { startServer } from '../tests/support/embedded-server.mjs';

/**
 * As durable as PostgreSQL's default: a contender that writes waits for the disk, and one that writes nothing does not.
 */
const SETTINGS = {
  fsync: 'on',
  full_page_writes: 'on',
  max_connections: 300,
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.max': 5_000,
};
/** The contenders' role; the measurements themselves use the superuser. */
const ROLE = 'app';

/**
 * @typedef {object} BenchServer
 * @property {import('postgres').Sql} admin
 * @property {string} version
 * @property {() => Promise<string>} newDatabase creates a database of the contenders' role and returns its URL
 * @property {() => Promise<void>} stop
 */

/**
 * @param {Record<string, string | number>} [settings]
 * @returns {Promise<BenchServer>}
 */
export async function openServer(settings = {}) {
  const server = await startServer({ settings: { ...SETTINGS, ...settings } });
  const admin = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    const password = randomBytes(18).toString('base64url');
    await admin.unsafe(
      `CREATE ROLE ${ROLE} LOGIN PASSWORD '${password}'; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_walinspect`,
    );
    const [row] = await admin`SELECT current_setting('server_version') AS version`;
    let databases = 0;
    return {
      admin,
      version: String(row?.['version']),
      newDatabase: async () => {
        const name = `bench_${++databases}`;
        await admin.unsafe(`CREATE DATABASE ${name} OWNER ${ROLE}`);
        const url = new URL(server.urlOf(name));
        url.username = ROLE;
        url.password = password;
        return url.href;
      },
      stop: async () => {
        await admin.end({ timeout: 1 });
        await server.stop();
      },
    };
  } catch (error) {
    await admin.end({ timeout: 1 });
    await server.stop();
    throw error;
  }
}
