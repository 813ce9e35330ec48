import postgres from 'postgres';
import { customAlphabet } from 'nanoid';

const uniqueSuffix = customAlphabet('0123456789abcdefghijklmnopqrstuvwxyz', 12);
/** Statements go out as they are: nothing that PostgreSQL notes is a test's output, and few connections are enough. */
const CONNECTION = { max: 5, onnotice: () => undefined } as const;

export interface TestRole {
  name: string;
  /** Connects as this role to the database that it was made for. */
  url: string;
}

export interface TestDatabase {
  /** Connects as the owner of everything (the server's superuser). */
  url: string;
  name: string;
  sql: postgres.Sql;
  /** A role of its own, without rights but to log in; `attributes` as in CREATE ROLE. It goes with the database. */
  createRole: (attributes?: string) => Promise<TestRole>;
  /** The URL, changed: another database, user, parameter. */
  urlWith: (change: (url: URL) => void) => string;
  /** The application names of those who are connected to it, or to what stands in front. */
  clients: () => Promise<string[]>;
  /** Ends all connections, drops the database and its roles. */
  drop: () => Promise<void>;
}

/** The shared server's URL, as globalSetup has set it. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL;
  if (url === undefined) throw new Error('TEST_DATABASE_URL is not set: run the tests with npm test');
  return url;
}

/** What stands between the tests and the server. */
export interface Front {
  through: (url: string) => string;
  /** The application names of the clients that are connected to it for this database. */
  clients: (database: string) => Promise<string[]>;
}

let front: Front | null = null;

/** From now on the URLs that are given out lead to it; `sql` stays a direct connection. */
export function putInFront(given: Front): void {
  front = given;
}

/**
 * A fresh, empty database of the test file's own, on the shared server or on the one named by `server`; with an encoding other
 * than the server's.
 */
export async function createDatabase(
  server: string = serverUrl(),
  encoding?: 'LATIN1' | 'SQL_ASCII' | 'EUC_JP',
): Promise<TestDatabase> {
  const name = `test_${uniqueSuffix()}`;
  await asAdministrator(server, async (admin) => {
    const [version] =
      await admin`SELECT current_setting('server_version_num')::integer >= 150000 AS has_providers`;
    const provider = version?.has_providers === true ? 'LOCALE_PROVIDER libc' : '';
    const options = `ENCODING '${encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ${provider}`;
    await admin.unsafe(`CREATE DATABASE ${name} ${encoding === undefined ? '' : options}`);
  });
  const urlWith = (change: (url: URL) => void) => {
    const url = new URL(server);
    url.pathname = `/${name}`;
    change(url);
    return front?.through(url.href) ?? url.href;
  };
  const url = urlWith(() => undefined);
  const direct = new URL(server);
  direct.pathname = `/${name}`;
  const sql = postgres(direct.href, CONNECTION);
  const roles: string[] = [];

  return {
    url,
    name,
    sql,
    urlWith,
    clients: async () => {
      if (front !== null) return front.clients(name);
      const rows = await sql<{ application_name: string }[]>`
        SELECT application_name FROM pg_stat_activity WHERE datname = ${name}`;
      return rows.map(({ application_name }) => application_name);
    },
    createRole: async (attributes = '') => {
      const role = `role_${uniqueSuffix()}`;
      const password = uniqueSuffix();
      await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${password}' ${attributes}`);
      roles.push(role);
      return {
        name: role,
        url: urlWith((url) => {
          url.username = role;
          url.password = password;
        }),
      };
    },
    drop: async () => {
      await sql.end({ timeout: 1 });
      await asAdministrator(server, async (admin) => {
        await admin`DROP DATABASE IF EXISTS ${admin(name)} WITH (FORCE)`;
        for (const role of roles) await admin`DROP ROLE IF EXISTS ${admin(role)}`;
      });
    },
  };
}

async function asAdministrator(
  server: string,
  work: (admin: postgres.Sql) => PromiseLike<unknown>,
): Promise<void> {
  const admin = postgres(server, { ...CONNECTION, max: 1 });
  try {
    await work(admin);
  } finally {
    await admin.end({ timeout: 1 });
  }
}
