import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import type { CliResult } from '../../support/run-cli.js';
import type { Evidence } from '../../support/secret-forms.js';
import { startWire, type Wire } from '../../support/wire.js';

/**
 * With all kinds of characters that are special in a URL, a shell, SQL or JSON, and none that reveal that it is a
 * password.
 */
export const PASSWORD = `hunter2@s3cret:a/b?c#d%41&x='"\\ ü$(1)`;
/** The form of a lease's secret; see newIdentity(). */
const LEASE_SECRET = /^[\w-]{43}$/;

export interface Stage {
  db: TestDatabase;
  wire: Wire;
  folder: string;
  user: string;
  /** The URL, through the wire, with the encoded password. */
  url: string;
  /** A file with the URL, so that it is in no environment. */
  urlFile: string;
  /** The secrets of all leases so far, holders' and waiters': they may appear only as bound parameters. */
  leaseSecrets: () => string[];
  /** Every row of every table of the lock schema, and what the server shows of the sessions. */
  rows: () => Promise<Evidence[]>;
  close: () => Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const db = await createDatabase();
  const role = await db.createRole();
  await db.sql.unsafe(`
    ALTER ROLE ${role.name} PASSWORD '${PASSWORD.replaceAll("'", "''")}';
    GRANT CREATE ON DATABASE ${db.name} TO ${role.name}`);
  const { hostname, port } = new URL(db.url);
  const wire = await startWire({ host: hostname, port: Number(port) });
  const url = withPassword(wire.through(role.url), encodeURIComponent(PASSWORD));
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-secrets-'));
  const urlFile = join(folder, 'url');
  writeFileSync(urlFile, `${url}\n`, { mode: 0o600 });
  return {
    db,
    wire,
    folder,
    user: role.name,
    url,
    urlFile,
    leaseSecrets: () => [...new Set(wire.parameters().filter((value) => LEASE_SECRET.test(value)))],
    rows: async () => {
      const tables = await db.sql<{ name: string }[]>`
        SELECT oid::regclass::text AS name FROM pg_class
         WHERE relnamespace = to_regnamespace('migrate_lock') AND relkind IN ('r', 'p', 'v')`;
      const sources = [...tables.map(({ name }) => name), `pg_stat_activity WHERE datname = '${db.name}'`];
      const found = await Promise.all(
        sources.map(async (source) => {
          const rows = await db.sql.unsafe<{ text: string }[]>(
            `SELECT to_jsonb(one)::text AS text FROM ${source.replace(/^\S+/, '$& AS one')}`,
          );
          return rows.map(({ text }) => ({ where: source, text }));
        }),
      );
      return found.flat();
    },
    close: async () => {
      rmSync(folder, { recursive: true, force: true });
      await wire.close();
      await db.drop();
    },
  };
}

/** `written`: the password as the URL has it. */
export function withPassword(url: string, written: string): string {
  const plain = new URL(url);
  plain.password = '';
  return plain.href.replace('@', `:${written}@`);
}

export function outputsOf(name: string, { stdout, stderr }: CliResult): Evidence[] {
  return [
    { where: `stdout of ${name}`, text: stdout },
    { where: `stderr of ${name}`, text: stderr },
  ];
}

/** Whether one of the secrets is that of the lease in the table, so that the values from the wire are real secrets. */
export async function isOneOf(secrets: readonly string[], db: TestDatabase): Promise<boolean> {
  const [lease] = await db.sql<{ hash: string }[]>`
    SELECT encode(secret_sha256, 'hex') AS hash FROM migrate_lock.migration_lock`;
  return secrets.some((secret) => createHash('sha256').update(secret).digest('hex') === lease?.hash);
}
