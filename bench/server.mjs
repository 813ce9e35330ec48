import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { startServer } from '../tests/support/embedded-server.mjs';

/**
 * As durable as PostgreSQL is by default: a peer that writes waits for the disk, and peers that write nothing do not.
 */
const SETTINGS = {
  fsync: 'on',
  full_page_writes: 'on',
  max_connections: 300,
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.max': 5_000,
};
/** Whom the contenders log in as; the questions of the measurements themselves come from the superuser. */
const ROLE = 'app';

/**
 * @typedef {object} BenchServer
 * @property {import('postgres').Sql} admin
 * @property {string} version
 * @property {() => Promise<string>} newDatabase a fresh one, which the contenders' role owns: its URL
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
