/** umzug's list of applied migrations: a table of names. */
export class MigrationTable {
  /** @param {import('postgres').Sql} sql */
  constructor(sql) {
    this.sql = sql;
  }

  async executed() {
    await this.sql`CREATE TABLE IF NOT EXISTS umzug_migrations (name text NOT NULL)`;
    const rows = await this.sql`SELECT name FROM umzug_migrations ORDER BY name`;
    return rows.map(({ name }) => String(name));
  }

  /** @param {{ name: string }} migration */
  async logMigration({ name }) {
    await this.sql`INSERT INTO umzug_migrations (name) VALUES (${name})`;
  }

  /** @param {{ name: string }} migration */
  async unlogMigration({ name }) {
    await this.sql`DELETE FROM umzug_migrations WHERE name = ${name}`;
  }
}
