import postgres from 'postgres';
import { customAlphabet } from 'nanoid';

const uniqueSuffix = customAlphabet('0123456789abcdefghijklmnopqrstuvwxyz', 12);
/** Statements are sent unchanged; notices do not appear in a test's output, and few connections are enough. */
const CONNECTION = { max: 5, onnotice: () => undefined } as const;

export interface TestRole {
  name: string;
  /** Connects as this role to the database that the role was made for. */
  url: string;
}

export interface TestDatabase {
  /** Connects as the server's superuser, who owns everything. */
  url: string;
  name: string;
  sql: postgres.Sql;
  /** A new role that may only log in; `attributes` as in CREATE ROLE. It is dropped with the database. */
  createRole: (attributes?: string) => Promise<TestRole>;
  /** The URL with another database, user or parameter. */
  urlWith: (change: (url: URL) => void) => string;
  /** The application names of the clients of this database, or of the proxy in front of it. */
  clients: () => Promise<string[]>;
  /** Ends all connections, and drops the database and its roles. */
  drop: () => Promise<void>;
}

/** The shared server's URL, which globalSetup has set. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL;
  if (url === undefined) throw new Error('TEST_DATABASE_URL is not set: run the tests with npm test');
  return url;
}

/** A proxy between the tests and the server. */
export interface Front {
  through: (url: string) => string;
  /** The application names of the clients that are connected to it for this database. */
  clients: (database: string) => Promise<string[]>;
}

let front: Front | null = null;

/** From now on new URLs lead to the proxy; `sql` stays a direct connection. */
export function putInFront(given: Front): void {
  front = given;
}

/**
 * A new, empty database for the test file, on the shared server or on `server`; with another encoding than
 * the server's on request.
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
        // PostgreSQL 12 has no DROP DATABASE ... WITH (FORCE).
        await admin`ALTER DATABASE ${admin(name)} ALLOW_CONNECTIONS false`;
        await admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${name}`;
        await admin`DROP DATABASE ${admin(name)}`;
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
