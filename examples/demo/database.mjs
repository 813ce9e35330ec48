import postgres from 'postgres';

/** @typedef {import('../../tests/support/embedded-server.mjs').EmbeddedServer} Server */

/**
 * @param {Server} server
 * @param {string} name
 * @returns {Promise<string>} the new database's URL
 */
export async function newDatabase(server, name) {
  await ask(server.url, (sql) => sql`CREATE DATABASE ${sql(name)}`);
  return server.urlOf(name);
}

/**
 * @template T
 * @param {string} url
 * @param {(sql: import('postgres').Sql) => Promise<T>} question
 * @returns {Promise<T>}
 */
export async function ask(url, question) {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await question(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/**
 * Every table except the lock's, with its number of rows.
 * @param {string} url
 * @returns {Promise<[table: string, rows: number][]>}
 */
export function tables(url) {
  return ask(url, async (sql) => {
    const names = await sql`
      SELECT table_schema, table_name FROM information_schema.tables
      WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema', 'migrate_lock')
      ORDER BY table_schema <> 'public', table_schema, table_name`;
    /** @type {[string, number][]} */
    const counted = [];
    for (const { table_schema: schema, table_name: name } of names) {
      const [row] = await sql`SELECT count(*)::int AS rows FROM ${sql(schema)}.${sql(name)}`;
      counted.push([schema === 'public' ? name : `${schema}.${name}`, row?.['rows']]);
    }
    return counted;
  });
}

/**
 * How often each migration ran, and in whose sessions: every run of the examples' migrations leaves a row.
 * @param {string} url
 * @returns {Promise<{ migration: string, runs: number, by: string }[]>}
 */
export function migrationRuns(url) {
  return ask(url, async (sql) => {
    const rows = await sql`
      SELECT migration, count(*)::int AS runs, string_agg(DISTINCT application_name, ', ') AS by
      FROM migration_runs GROUP BY migration ORDER BY migration`;
    return rows.map(({ migration, runs, by }) => ({ migration, runs, by }));
  });
}
